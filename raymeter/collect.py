"""Stream the audit set through all models: one Ray Data pass, every cell exactly once.

A block is a fixed range of records and is never merged or divided, so that the numbers do not
depend on arrival order, on the number of actors or on a retry. Each model's signals are stored
under a key made of its weights, the records, the views and the block size; a later audit computes
only the models whose key is not there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

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
from raymeter.metrics import publish
from raymeter.runtime import model_resources, root_cause, slots_to_start
from raymeter.schema import Dataset, ModelRecord, SignalMatrix, Signals, Split, fingerprint_arrays
from raymeter.signals import KINDS, SIGNAL_VERSION, View
from raymeter.signalstore import assemble, save_index
from raymeter.store import RunStore
from raymeter.workers import SignalActor, SignalWork

Content = Literal["signals", "logits"]


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


@dataclass(frozen=True)
class Computed:
    """What one pass over all parts gave; rows are the positions in their concatenation."""

    offsets: Mapping[str, int]
    values: Float32[np.ndarray, "kinds rows models queries"]
    logits: Float32[np.ndarray, "rows models queries classes"] | None

    def column(self, content: Content, records: Records, position: int) -> np.ndarray:
        """One model's share on one part: [kinds, records, queries] or [records, queries, classes]."""
        rows = slice(self.offsets[records.part], self.offsets[records.part] + len(records.y))
        if content == "signals":
            return np.ascontiguousarray(self.values[:, rows, position])
        assert self.logits is not None
        return np.ascontiguousarray(self.logits[rows, position])


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
    contents: tuple[Content, ...] = ("signals", "logits") if config.keeps_logits else ("signals",)
    keys = {
        (content, records.part, model.index): _column_key(content, model, records, views, config.audit.batch_size)
        for content in contents
        for records in parts
        for model in models
    }
    columns = {cell: store.load_column(key) for cell, key in keys.items()}
    absent = {model for (_, _, model), column in columns.items() if column is None}
    missing = [model for model in models if model.index in absent]
    if len(missing) < len(models):
        reporter.note(f"signals of {len(models) - len(missing)} of {len(models)} models are stored and are reused")
    if missing:
        computed = _compute(parts, missing, dataset, views, config, store, reporter)
        for position, model in enumerate(missing):
            for records in parts:
                about = {"model": model.index, "weights": model.sha256, "part": records.part, "views": list(views)}
                for content in contents:
                    cell = (content, records.part, model.index)
                    column = columns[cell] = computed.column(content, records, position)
                    store.save_column(keys[cell], column, about)

    def found(content: Content, records: Records) -> list[np.ndarray]:
        cells = (columns[content, records.part, model.index] for model in models)
        return [column for column in cells if column is not None]

    audit, population = (_assemble(records, found("signals", records), split) for records in parts)
    logits = [np.stack(found("logits", records), axis=1) if config.keeps_logits else None for records in parts]
    signals = Signals(audit, population, audit_logits=logits[0], population_logits=logits[1])
    named = {
        ("" if content == "signals" else "logits_") + records.part: [
            keys[content, records.part, model.index] for model in models
        ]
        for content in contents
        for records in parts
    }
    save_index(store, signals, named, config.resolved())
    return signals


def _column_key(content: Content, model: ModelRecord, records: Records, views: Sequence[View], block: int) -> str:
    parts = [SIGNAL_VERSION, KINDS, model.sha256, records.fingerprint, list(views), block]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]
    prefix = "" if content == "signals" else f"{content}_"
    return f"{prefix}{records.part}_model_{model.index}_{digest}"


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
) -> Computed:
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
        keep_logits=config.keeps_logits,
    )
    # from_arrow would look at every block in a task; map_batches refuses batch_size=None where there are GPUs, and any
    # number would merge the last, smaller block of a part with others.
    stream = ray.data.from_blocks(tables).map_batches_internal(
        SignalActor,
        fn_constructor_args=(work,),
        compute=ray.data.ActorPoolStrategy(size=slots_to_start(resources, len(tables), config.cluster)),
        batch_size=None,  # a batch is a whole block
        batch_format="numpy",
        num_cpus=resources.get("CPU"),
        num_gpus=resources.get("GPU"),
        resources={name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")} or None,
    )
    total = sum(len(records.y) for records in parts)
    values = np.empty((len(KINDS), total, len(models), len(views)), dtype=np.float32)
    classes = dataset.num_classes
    logits = np.empty((total, *values.shape[2:], classes), dtype=np.float32) if config.keeps_logits else None
    seen, start = np.zeros(total, dtype=bool), time.perf_counter()
    try:
        for batch in stream.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            if logits is not None:
                logits[batch["row"]] = batch["logits"]
            _scatter(batch["row"], batch["signals"], values, seen)
            done = int(seen.sum())
            reporter.progress(done, total, "records")
            publish(records_done=done, records_per_second=done / (time.perf_counter() - start))
    except ray.exceptions.RayError as error:
        raise RunError(f"signals could not be computed: {root_cause(error)}") from error
    if not seen.all():
        raise RunError(
            f"signals of {int((~seen).sum())} of {total} records did not arrive; first is row "
            f"{int(np.flatnonzero(~seen)[0])}. Start the same command again; finished models are kept."
        )
    return Computed({parts[0].part: 0, parts[1].part: len(parts[0].y)}, values, logits)


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


def _assemble(records: Records, columns: Sequence[np.ndarray], split: Split) -> dict[str, SignalMatrix]:
    """Columns of all models on one set of records -> one SignalMatrix per kind."""
    is_audit = records.part == "audit"
    member = split.member[records.ids] if is_audit else np.zeros((len(records.ids), len(columns)), dtype=bool)
    masks = {"reference": split.reference, "targets": split.targets, "ids": records.ids, "labels": records.y}
    return assemble(columns, member, **masks)
