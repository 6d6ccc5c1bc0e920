"""Stream the audit set through all models: one Ray Data pass, every cell exactly once.

A block is a fixed range of records and is never merged or divided, so that the numbers do not
depend on arrival order, on the number of actors or on a retry. Each model's signals are stored
under a key made of its weights, the records, the views and the block size; a later audit computes
only the models whose key is not there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import ray.exceptions
from ray.data.extensions import ArrowTensorArray

from raymeter.distributed.metrics import publish
from raymeter.distributed.ray_internals.on_demand import map_whole_blocks
from raymeter.distributed.record_stream import stream_records
from raymeter.distributed.resources import model_resources, slots_to_start
from raymeter.distributed.signals.in_driver import Block, compute_here, suits_driver
from raymeter.distributed.signals.worker import SignalActor, SignalWork
from raymeter.distributed.tasks import root_cause
from raymeter.errors import RunError
from raymeter.schema.dataset import LazyRecords
from raymeter.schema.mapped import forget_pages
from raymeter.schema.model_record import ModelRecord
from raymeter.schema.reporter import Reporter
from raymeter.schema.signals import Signals
from raymeter.schema.split import Split
from raymeter.signals.frame import (
    ColumnKeys,
    Frame,
    about_column,
    column_keys,
    load_stored,
    matrices_of,
    scatter,
)
from raymeter.signals.plan import SignalPlan
from raymeter.signals.records import RecordSet
from raymeter.signals.stored import save_index
from raymeter.storage.columns import save_column
from raymeter.storage.run_store import RunStore

LOSSES = 10  # of one actor, or in one block: by nodes that go; what always dies (out of memory, say) must end the audit


def collect_signals(
    plan: SignalPlan,
    split: Split,
    parts: tuple[RecordSet, RecordSet],
    models: Sequence[ModelRecord],
    store: RunStore,
    reporter: Reporter,
) -> Signals:
    """Signals of the audited records and of the population under every model; what is stored is not computed again.

    Raises:
        RunError: A cell is missing or came twice; the first record is named.
    """
    keys = column_keys(plan, parts, models)
    frame = Frame.empty(plan, parts, len(models), store)
    missing = load_stored(frame, keys, plan, parts, models, store, reporter.note)
    if len(missing) < len(models):
        reporter.note(f"signals of {len(models) - len(missing)} of {len(models)} models are stored and are reused")
    if missing:
        _compute(frame, missing, parts, _work(plan, [models[position] for position in missing], store), plan, reporter)
        _store(frame, keys, parts, {position: models[position] for position in missing}, plan, store)
    audit, population = (matrices_of(frame, records, split) for records in parts)
    logits = [frame.all_of("logits", records) if plan.keep_logits else None for records in parts]
    signals = Signals(audit, population, audit_logits=logits[0], population_logits=logits[1], mapped=plan.mapped)
    named = {
        ("" if content == "signals" else "logits_") + records.part: [
            keys[content, records.part, model.index] for model in models
        ]
        for content in plan.contents
        for records in parts
    }
    save_index(store, signals, named, plan.config)
    forget_pages(frame.values)
    return signals


def _store(
    frame: Frame,
    keys: ColumnKeys,
    parts: tuple[RecordSet, RecordSet],
    models: Mapping[int, ModelRecord],
    plan: SignalPlan,
    store: RunStore,
) -> None:
    """Write the columns of some models, given by their positions, to where their keys say."""
    for position, model in models.items():
        for records in parts:
            for content in plan.contents:
                column, about = frame.column(content, records, position), about_column(content, plan, records, model)
                save_column(store, keys[content, records.part, model.index], column, about)


def _blocks(parts: tuple[RecordSet, RecordSet], block: int) -> list[Block] | None:
    """Fixed ranges of records, `row` their positions in both parts together; None where some are streamed."""
    blocks, offset = [], 0
    for records in parts:
        if not isinstance(records.x, np.ndarray):
            return None
        for start in range(0, len(records.y), block):
            part = slice(start, start + block)
            row = np.arange(offset + start, offset + min(start + block, len(records.y)), dtype=np.int64)
            blocks.append({"row": row, "x": records.x[part], "y": records.y[part]})
        offset += len(records.y)
    return blocks


def _table(block: Block) -> pa.Table:
    """A block as Ray Data moves it."""
    return pa.table({**block, "x": ArrowTensorArray.from_numpy(np.ascontiguousarray(block["x"]))})


def _work(plan: SignalPlan, models: Sequence[ModelRecord], store: RunStore) -> SignalWork:
    """What an actor needs to compute the signals of these models."""
    return SignalWork(
        store=store,
        models=tuple(models),
        architectures=tuple(model.architecture or plan.architecture for model in models),
        input_shape=plan.input_shape,
        num_classes=plan.num_classes,
        views=plan.views,
        threads=max(1, int(model_resources(plan.resources).get("CPU", 1))),
        keep_logits=plan.keep_logits,
        block=plan.block,
    )


def _compute(
    frame: Frame,
    missing: list[int],
    parts: tuple[RecordSet, RecordSet],
    work: SignalWork,
    plan: SignalPlan,
    reporter: Reporter,
) -> None:
    """One pass of both parts through the missing models, in the driver or in actors; fills their columns."""
    resources = model_resources(plan.resources)
    arrivals, left = Arrivals(frame, missing, reporter), _blocks(parts, plan.block)
    if left is not None and suits_driver(work, resources):
        left = left[_compute_in_driver(left, work, arrivals) :]
    if left is None or left:
        _compute_in_actors(parts, left, work, plan, resources, arrivals)
    arrivals.check()


class Arrivals:
    """Puts what comes into its place in the frame, and says how much there is.

    Args:
        frame: Of all signals.
        missing: Positions of the models that are computed.
        reporter: Gets the progress.
    """

    def __init__(self, frame: Frame, missing: list[int], reporter: Reporter) -> None:
        self.frame, self.missing, self.reporter = frame, missing, reporter
        self.total, self.start = frame.values.shape[1], time.perf_counter()
        self.seen = np.zeros(self.total, dtype=bool)

    def take(self, batch: Block) -> None:
        """Signals of some records under all missing models."""
        if self.frame.logits is not None:
            self.frame.logits[batch["row"][:, None], self.missing] = batch["logits"]
        scatter(batch["row"], batch["signals"], self.missing, self.frame.values, self.seen)
        done = int(self.seen.sum())
        self.reporter.progress(done, self.total, "records")
        publish(records_done=done, records_per_second=done / (time.perf_counter() - self.start))

    def check(self) -> None:
        """Raise RunError where a record did not come."""
        if not self.seen.all():
            raise RunError(
                f"signals of {int((~self.seen).sum())} of {self.total} records did not arrive; first is row "
                f"{int(np.flatnonzero(~self.seen)[0])}. Start the same command again; finished models are kept."
            )


def _compute_in_driver(blocks: list[Block], work: SignalWork, arrivals: Arrivals) -> int:
    """As many blocks as there is time for; returns their number."""
    done = 0
    try:
        for batch in compute_here(work, blocks):
            arrivals.take(batch)
            done += 1
    except Exception as error:  # as where an actor fails
        raise RunError(f"signals could not be computed: {root_cause(error)}") from error
    return done


def _compute_in_actors(
    parts: tuple[RecordSet, RecordSet],
    left: list[Block] | None,
    work: SignalWork,
    plan: SignalPlan,
    resources: Mapping[str, float],
    arrivals: Arrivals,
) -> None:
    """A stream of Ray Data through actors that hold the missing models; `left` are the blocks that are in memory."""
    readers = slots_to_start(resources, len(work.models), plan.cluster)
    source, blocks = _source(parts, left, plan.block, readers)
    stream = map_whole_blocks(
        source,
        SignalActor,
        fn_constructor_args=(work,),
        compute=ray.data.ActorPoolStrategy(size=slots_to_start(resources, blocks, plan.cluster)),
        batch_format="numpy",
        num_cpus=resources.get("CPU"),
        num_gpus=resources.get("GPU"),
        resources={name: amount for name, amount in resources.items() if name not in ("CPU", "GPU")} or None,
        max_restarts=LOSSES,
        max_task_retries=LOSSES,
    )
    try:
        for batch in stream.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            arrivals.take(batch)
    except ray.exceptions.RayError as error:
        raise RunError(f"signals could not be computed: {root_cause(error)}") from error


def _source(
    parts: tuple[RecordSet, RecordSet], left: list[Block] | None, block: int, readers: int
) -> tuple[ray.data.Dataset, int]:
    """Blocks as Ray Data streams them, and how many there are."""
    if left is not None:
        # from_arrow would look at every block in a task
        return ray.data.from_blocks([_table(one) for one in left]), len(left)
    chunks = [(part, *chunk) for part, records in enumerate(parts) for chunk in _chunks(records.x, block)]
    held = [(ray.put(records.x), ray.put(records.y)) for records in parts]
    source = stream_records(held, chunks, readers=readers)
    return source, len(chunks)


def _chunks(x: np.ndarray | LazyRecords, block: int) -> list[tuple[int, int]]:
    return [(0, len(x))] if isinstance(x, np.ndarray) else x.chunks(align=block)
