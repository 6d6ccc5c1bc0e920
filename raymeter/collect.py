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

import numpy as np
import pyarrow as pa
import ray
import ray.data
import ray.exceptions
from jaxtyping import Bool, Float32, Int64
from ray.data.extensions import ArrowTensorArray

from raymeter.config import AuditConfig
from raymeter.console import Reporter
from raymeter.data import some_records
from raymeter.errors import RunError
from raymeter.metrics import publish
from raymeter.pages import forget_pages
from raymeter.preflight import is_mapped
from raymeter.runtime import model_resources, root_cause, slots_to_start
from raymeter.schema import (
    RECORDS_AT_ONCE,
    Dataset,
    LazyRecords,
    ModelRecord,
    SignalMatrix,
    Signals,
    Split,
    fingerprint_arrays,
)
from raymeter.scratch import map_column, save_column, scratch_array
from raymeter.signals import KINDS, SIGNAL_VERSION, View
from raymeter.signalstore import matrices, save_index
from raymeter.store import RunStore
from raymeter.stream import stream_records
from raymeter.target import Columns, Content
from raymeter.workers import SignalActor, SignalWork

LOSSES = 10  # of one actor, or in one block: by nodes that go; what always dies (out of memory, say) must end the audit


@dataclass(frozen=True)
class Records:
    """One set of records to compute signals on: the audited records, or the population."""

    part: str
    ids: Int64[np.ndarray, " records"]
    x: np.ndarray | LazyRecords
    y: Int64[np.ndarray, " records"]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the records; part of the key under which their signals are stored."""
        return fingerprint_arrays(self.x, self.y)


@dataclass(frozen=True)
class Frame:
    """The signals of all models on all parts; rows are the positions in the concatenation of the parts.

    The columns are the positions of the models in the list that was given, for some may be missing.
    """

    rows: Mapping[str, slice]
    values: Float32[np.ndarray, "kinds rows models queries"]
    logits: Float32[np.ndarray, "rows models queries classes"] | None

    @classmethod
    def empty(
        cls, parts: tuple[Records, Records], models: int, views: int, classes: int | None, store: RunStore | None
    ) -> Frame:
        """Room for everything: in memory, or in scratch files where a store to put them beside is given."""

        def room(*shape: int) -> np.ndarray:
            return np.empty(shape, np.float32) if store is None else scratch_array(store, shape, np.float32)

        first, total = len(parts[0].y), len(parts[0].y) + len(parts[1].y)
        rows = {parts[0].part: slice(0, first), parts[1].part: slice(first, total)}
        logits = None if classes is None else room(total, models, views, classes)
        return cls(rows, room(len(KINDS), total, models, views), logits)

    def all_of(self, content: Content, records: Records) -> np.ndarray:
        """One part: [kinds, records, models, queries] or [records, models, queries, classes]."""
        if content == "signals":
            return self.values[:, self.rows[records.part]]
        assert self.logits is not None
        return self.logits[self.rows[records.part]]

    def column(self, content: Content, records: Records, position: int) -> np.ndarray:
        """One model's share of a part, [kinds, records, queries] or [records, queries, classes]; writable."""
        whole = self.all_of(content, records)
        return whole[:, :, position] if content == "signals" else whole[:, position]


def gather_records(dataset: Dataset, split: Split, limit: int | None = None) -> tuple[Records, Records]:
    """The audited pool records and the part of the population that no model was trained on, each as one array.

    Args:
        limit: Bytes; audited records of a streamed dataset that take more stay in their files.
    """
    everything = len(split.audit_ids) == len(dataset.y)  # audit_ids are sorted: then this is the pool itself
    x = dataset.x if everything else some_records(dataset.x, split.audit_ids, limit)
    outside, outside_y, ids = dataset.population_x, dataset.population_y, split.population_ids
    if len(ids) < len(outside_y):
        outside, outside_y = some_records(outside, ids, limit), outside_y[ids]
    return (
        Records("audit", split.audit_ids, x, dataset.y if everything else dataset.y[split.audit_ids]),
        Records("population", ids, outside, outside_y),
    )


def collect_signals(
    dataset: Dataset,
    split: Split,
    parts: tuple[Records, Records],
    models: Sequence[ModelRecord],
    config: AuditConfig,
    store: RunStore,
    reporter: Reporter,
    given: Columns | None = None,
) -> Signals:
    """Signals of the audited records and of the population under every model.

    Where they, or the records, are larger than `data.in_memory_limit` they are in mapped files.

    Args:
        given: The columns of the last model, by content and part, where it can only be asked.

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
    for (content, part), column in (given or {}).items():
        if content in contents:
            save_column(store, keys[content, part, models[-1].index], column, {"model": models[-1].index, "part": part})
    mapped = is_mapped(config, dataset, split)
    classes = dataset.num_classes if config.keeps_logits else None
    frame = Frame.empty(parts, len(models), len(views), classes, store if mapped else None)
    missing = _load_stored(frame, keys, parts, models, store, mapped)
    if len(missing) < len(models):
        reporter.note(f"signals of {len(models) - len(missing)} of {len(models)} models are stored and are reused")
    if missing:
        _compute(frame, parts, models, missing, dataset, views, config, store, reporter)
        for position in missing:
            model = models[position]
            for records in parts:
                about = {"model": model.index, "weights": model.sha256, "part": records.part, "views": list(views)}
                for content in contents:
                    column = frame.column(content, records, position)
                    save_column(store, keys[content, records.part, model.index], column, about)
    audit, population = (_assemble(frame, records, split) for records in parts)
    logits = [frame.all_of("logits", records) if config.keeps_logits else None for records in parts]
    signals = Signals(audit, population, audit_logits=logits[0], population_logits=logits[1], mapped=mapped)
    named = {
        ("" if content == "signals" else "logits_") + records.part: [
            keys[content, records.part, model.index] for model in models
        ]
        for content in contents
        for records in parts
    }
    save_index(store, signals, named, config.resolved())
    forget_pages(frame.values)
    return signals


def _load_stored(
    frame: Frame,
    keys: Mapping[tuple[Content, str, int], str],
    parts: tuple[Records, Records],
    models: Sequence[ModelRecord],
    store: RunStore,
    mapped: bool,
) -> list[int]:
    """Put what is stored into the frame; returns the positions of the models of which something is not."""
    part_of = {records.part: records for records in parts}
    place = {model.index: position for position, model in enumerate(models)}
    absent = set()
    for (content, part, model), key in keys.items():
        column = map_column(store, key) if mapped else store.load_column(key)
        if column is None:
            absent.add(place[model])
            continue
        room = frame.column(content, part_of[part], place[model])
        for start in range(0, room.shape[content == "signals"], RECORDS_AT_ONCE):
            rows = slice(start, start + RECORDS_AT_ONCE)
            some = (slice(None), rows) if content == "signals" else (rows,)
            room[some] = column[some]
    return sorted(absent)


def _column_key(content: Content, model: ModelRecord, records: Records, views: Sequence[View], block: int) -> str:
    parts = [SIGNAL_VERSION, KINDS, model.sha256, records.fingerprint, list(views), block]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:20]
    prefix = "" if content == "signals" else f"{content}_"
    return f"{prefix}{records.part}_model_{model.index}_{digest}"


def _blocks(records: Records, offset: int, block: int) -> list[pa.Table]:
    """Arrow tables of fixed ranges of records; `row` is the position in the concatenation of all parts."""
    assert isinstance(records.x, np.ndarray)
    tables = []
    for start in range(0, len(records.y), block):
        part = slice(start, start + block)
        row = np.arange(offset + start, offset + min(start + block, len(records.y)), dtype=np.int64)
        x = ArrowTensorArray.from_numpy(np.ascontiguousarray(records.x[part]))
        tables.append(pa.table({"row": row, "x": x, "y": records.y[part]}))
    return tables


def _compute(
    frame: Frame,
    parts: tuple[Records, Records],
    models: Sequence[ModelRecord],
    missing: list[int],
    dataset: Dataset,
    views: tuple[View, ...],
    config: AuditConfig,
    store: RunStore,
    reporter: Reporter,
) -> None:
    """One pass of all parts through actors that hold the missing models; fills their columns of the frame."""
    resources = model_resources(config.train.resources_per_model)
    work = SignalWork(
        store=store,
        models=tuple(models[position] for position in missing),
        architectures=tuple(models[position].architecture or config.train.model_name for position in missing),
        input_shape=dataset.x.shape[1:],
        num_classes=dataset.num_classes,
        views=views,
        threads=max(1, int(resources.get("CPU", 1))),
        keep_logits=config.keeps_logits,
        block=config.audit.batch_size,
    )
    readers = slots_to_start(resources, len(missing), config.cluster)
    source, blocks = _source(parts, config.audit.batch_size, readers)
    # map_batches refuses batch_size=None where there are GPUs, and any number would merge the last, smaller block of
    # a part with others.
    stream = source.map_batches_internal(
        SignalActor,
        fn_constructor_args=(work,),
        compute=ray.data.ActorPoolStrategy(size=slots_to_start(resources, blocks, config.cluster)),
        batch_size=None,  # a batch is a whole block
        batch_format="numpy",
        num_cpus=resources.get("CPU"),
        num_gpus=resources.get("GPU"),
        resources={name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")} or None,
        max_restarts=LOSSES,
        max_task_retries=LOSSES,
    )
    total = frame.values.shape[1]
    seen, start = np.zeros(total, dtype=bool), time.perf_counter()
    try:
        for batch in stream.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            if frame.logits is not None:
                frame.logits[batch["row"][:, None], missing] = batch["logits"]
            _scatter(batch["row"], batch["signals"], missing, frame.values, seen)
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


def _source(parts: tuple[Records, Records], block: int, readers: int) -> tuple[ray.data.Dataset, int]:
    """Blocks of all parts as Ray Data streams them, and how many there are."""
    arrays = [records.x for records in parts]
    if all(isinstance(x, np.ndarray) for x in arrays):
        offsets = (0, len(parts[0].y))
        tables = [t for records, offset in zip(parts, offsets, strict=True) for t in _blocks(records, offset, block)]
        # from_arrow would look at every block in a task
        return ray.data.from_blocks(tables), len(tables)
    chunks = [(part, *chunk) for part, x in enumerate(arrays) for chunk in _chunks(x, block)]
    held = [(ray.put(records.x), ray.put(records.y)) for records in parts]
    source = stream_records(held, chunks, readers=readers)
    return source, len(chunks)


def _chunks(x: np.ndarray | LazyRecords, block: int) -> list[tuple[int, int]]:
    return [(0, len(x))] if isinstance(x, np.ndarray) else x.chunks(align=block)


def _scatter(
    rows: Int64[np.ndarray, " batch"],
    signals: Float32[np.ndarray, "batch kinds models queries"],
    columns: list[int],
    values: Float32[np.ndarray, "kinds records all_models queries"],
    seen: Bool[np.ndarray, " records"],
) -> None:
    """Put a batch where it belongs, whatever its order.

    Raises:
        RunError: A record came before.
    """
    if seen[rows].any() or len(np.unique(rows)) < len(rows):
        raise RunError(f"signals of row {int(rows[seen[rows]][0] if seen[rows].any() else rows[0])} arrived twice")
    for kind, found in enumerate(np.moveaxis(signals, 1, 0)):
        values[kind][rows[:, None], columns] = found
    seen[rows] = True


def _assemble(frame: Frame, records: Records, split: Split) -> dict[str, SignalMatrix]:
    """The signals of one set of records -> one SignalMatrix per kind."""
    everything = len(records.ids) == len(split.member)
    if records.part == "audit":
        member = split.member if everything else split.member[records.ids]
    else:
        member = np.zeros((len(records.ids), frame.values.shape[2]), dtype=bool)
    masks = {"reference": split.reference, "targets": split.targets, "ids": records.ids, "labels": records.y}
    return matrices(frame.all_of("signals", records), member, **masks)
