"""Stream the audit set through all models: one Ray Data pass, every cell exactly once.

A block is a fixed range of records and is never merged or divided, so that the numbers do not
depend on arrival order, on the number of actors or on a retry. Each model's signals are stored
under a key made of its weights, the records, the views and the block size; a later audit computes
only the models whose key is not there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import ray
import ray.data
import ray.exceptions
from jaxtyping import Bool, Float32, Int64
from ray.data.extensions import ArrowTensorArray

from raymeter.config import AuditConfig
from raymeter.console import Reporter
from raymeter.errors import RunError
from raymeter.runtime import count_slots, model_resources
from raymeter.schema import Dataset, ModelRecord, SignalMatrix, Signals, Split, fingerprint_arrays
from raymeter.signals import KINDS, SIGNAL_VERSION, View
from raymeter.store import RunStore
from raymeter.workers import SignalActor, SignalWork


@dataclass(frozen=True)
class Records:
    """One set of records to compute signals on: the audited records, or the population."""

    part: str
    ids: Int64[np.ndarray, " records"]
    x: np.ndarray
    y: Int64[np.ndarray, " records"]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the records; part of the key under which their signals are stored."""
        return fingerprint_arrays(self.x, self.y)


def gather_records(dataset: Dataset, split: Split) -> tuple[Records, Records]:
    """The audited pool records and the population, each as one array."""
    everything = len(split.audit_ids) == len(dataset.y)  # audit_ids are sorted: then this is the pool itself
    x, y = (dataset.x, dataset.y) if everything else (dataset.x[split.audit_ids], dataset.y[split.audit_ids])
    return (
        Records("audit", split.audit_ids, x, y),
        Records("population", split.population_ids, dataset.population_x, dataset.population_y),
    )


def collect_signals(
    dataset: Dataset,
    split: Split,
    parts: tuple[Records, Records],
    models: Sequence[ModelRecord],
    config: AuditConfig,
    store: RunStore,
    reporter: Reporter,
) -> Signals:
    """Signals of the audited records and of the population under every model.

    Raises:
        RunError: A cell is missing or came twice; the first record is named.
    """
    views = config.views(dataset.is_image)
    keys = {
        (records.part, model.index): _column_key(model, records, views, config.audit.batch_size)
        for records in parts
        for model in models
    }
    columns = {cell: store.load_column(key) for cell, key in keys.items()}
    missing = [model for model in models if any(columns[records.part, model.index] is None for records in parts)]
    if len(missing) < len(models):
        reporter.note(f"signals of {len(models) - len(missing)} of {len(models)} models are stored and are reused")
    if missing:
        computed = _compute(parts, missing, dataset, views, config, store, reporter)
        for position, model in enumerate(missing):
            for records in parts:
                column = np.ascontiguousarray(computed[records.part][:, :, position])
                about = {"model": model.index, "weights": model.sha256, "part": records.part, "views": list(views)}
                store.save_column(keys[records.part, model.index], column, about)
                columns[records.part, model.index] = column
    audit, population = (
        _assemble(records, [columns[records.part, model.index] for model in models], split) for records in parts
    )
    return Signals(audit=audit, population=population)


def _column_key(model: ModelRecord, records: Records, views: Sequence[View], block: int) -> str:
    parts = [SIGNAL_VERSION, KINDS, model.sha256, records.fingerprint, list(views), block]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]
    return f"{records.part}_model_{model.index}_{digest}"


def _blocks(records: Records, offset: int, block: int) -> list[pa.Table]:
    """Arrow tables of fixed ranges of records; `row` is the position in the concatenation of all parts."""
    tables = []
    for start in range(0, len(records.y), block):
        part = slice(start, start + block)
        row = np.arange(offset + start, offset + min(start + block, len(records.y)), dtype=np.int64)
        x = ArrowTensorArray.from_numpy(np.ascontiguousarray(records.x[part]))
        tables.append(pa.table({"row": row, "x": x, "y": records.y[part]}))
    return tables


def _compute(
    parts: Sequence[Records],
    models: Sequence[ModelRecord],
    dataset: Dataset,
    views: tuple[View, ...],
    config: AuditConfig,
    store: RunStore,
    reporter: Reporter,
) -> dict[str, Float32[np.ndarray, "kinds records models queries"]]:
    """One pass of all parts through actors that hold the given models."""
    tables = [
        table
        for records, offset in zip(parts, (0, len(parts[0].y)), strict=True)
        for table in _blocks(records, offset, config.audit.batch_size)
    ]
    resources = model_resources(config.train.resources_per_model)
    work = SignalWork(
        store=store,
        models=tuple(models),
        architecture=config.train.model_name,
        input_shape=dataset.x.shape[1:],
        num_classes=dataset.num_classes,
        views=views,
        threads=max(1, int(resources.get("CPU", 1))),
    )
    stream = ray.data.from_arrow(tables).map_batches(
        SignalActor,
        fn_constructor_args=(work,),
        compute=ray.data.ActorPoolStrategy(size=count_slots(resources, len(tables))),
        batch_size=None,  # a batch is a whole block
        batch_format="numpy",
        num_cpus=resources.get("CPU"),
        num_gpus=resources.get("GPU"),
        resources={name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")} or None,
    )
    total = sum(len(records.y) for records in parts)
    values = np.empty((len(KINDS), total, len(models), len(views)), dtype=np.float32)
    seen = np.zeros(total, dtype=bool)
    try:
        for batch in stream.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            _scatter(batch["row"], batch["signals"], values, seen)
            reporter.progress(int(seen.sum()), total, "records")
    except ray.exceptions.RayError as error:
        raise RunError(f"signals could not be computed: {_root_cause(error)}") from error
    if not seen.all():
        raise RunError(
            f"signals of {int((~seen).sum())} of {total} records did not arrive; first is row "
            f"{int(np.flatnonzero(~seen)[0])}. Start the same command again; finished models are kept."
        )
    split_at = len(parts[0].y)
    return {parts[0].part: values[:, :split_at], parts[1].part: values[:, split_at:]}


def _root_cause(error: BaseException) -> str:
    """First line of the innermost exception: what a worker raised, without the layers that carried it here."""
    while (inner := getattr(error, "cause", None) or error.__cause__) is not None and inner is not error:
        error = inner
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def _scatter(
    rows: Int64[np.ndarray, " batch"],
    signals: Float32[np.ndarray, "batch kinds models queries"],
    values: Float32[np.ndarray, "kinds records models queries"],
    seen: Bool[np.ndarray, " records"],
) -> None:
    """Put a batch where it belongs, whatever its order.

    Raises:
        RunError: A record came before.
    """
    if seen[rows].any() or len(np.unique(rows)) < len(rows):
        raise RunError(f"signals of row {int(rows[seen[rows]][0] if seen[rows].any() else rows[0])} arrived twice")
    values[:, rows] = np.moveaxis(signals, 1, 0)
    seen[rows] = True


def _assemble(records: Records, columns: Sequence[np.ndarray | None], split: Split) -> dict[str, SignalMatrix]:
    """Stored columns -> one SignalMatrix per kind."""
    present = [column for column in columns if column is not None]
    stacked = np.stack(present, axis=2)  # [kinds, records, models, queries]
    is_audit = records.part == "audit"
    member = split.member[records.ids] if is_audit else np.zeros((len(records.ids), len(present)), dtype=bool)
    return {
        kind: SignalMatrix(
            kind=kind,
            values=stacked[position],
            member=member,
            reference=split.reference,
            ids=records.ids,
            labels=records.y,
            targets=split.targets,
        )
        for position, kind in enumerate(KINDS)
    }
