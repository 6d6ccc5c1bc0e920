"""Reference models across the cluster: slots that lease models, retries, resume.

K single-worker Ray Train runs ("slots") take model indices from a small queue actor until none is
left; K follows the cluster. A lost worker costs the one model in flight there, which goes on from its
last checkpoint. The marker of a finished model is written last, by the worker, into the run store; the
queue is built from the markers, so it holds nothing that could be lost.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raymeter.config.sections import ClusterSection, TrainSection
from raymeter.distributed.metrics import begin, publish
from raymeter.distributed.ray_internals.on_demand import draining_nodes
from raymeter.distributed.resources import fits_now, model_resources, slots_to_start
from raymeter.distributed.session import is_embedded
from raymeter.distributed.training.leases import Leases, Snapshot
from raymeter.distributed.training.slots import Slots
from raymeter.distributed.training.work import TrainingWork
from raymeter.errors import ConfigError, RunError, StoreError
from raymeter.schema.dataset import Dataset
from raymeter.schema.model_record import ModelRecord, Origin
from raymeter.schema.origins import origins_of
from raymeter.schema.reporter import Reporter
from raymeter.schema.split import Split
from raymeter.storage.columns import write_array
from raymeter.storage.model_store import ModelStore
from raymeter.storage.run_store import RunStore

POLL_SECONDS = 0.25
LOOK_SECONDS = 2.0  # between looks at what the cluster has
SAVE_SECONDS = 2.0  # of the 3 that `ray job stop` grants
IDLE_SECONDS = 10.0  # after which slots that found no work, or no node, are called off
AT_ONCE = max(4, os.cpu_count() or 1)  # slots whose processes are being started on this node at a time
LAG_SECONDS = 60.0  # that a cloud store may take to show what was written
HISTORY = "models/history.json"
Outcomes: TypeAlias = dict[int, tuple[ModelRecord | None, str]]  # record, or why there is none


def train_references(
    dataset: Dataset, split: Split, train: TrainSection, cluster: ClusterSection, store: RunStore, reporter: Reporter
) -> list[ModelRecord]:
    """Train every model that is not in the store yet; returns the records of all that there are, in model order.

    A model that failed by itself `train.max_attempts` times is left out, which is reported.

    Raises:
        RunError: No model could be trained, or workers could not start; says why and where the traceback is.
    """
    begin()
    origins, models = origins_of(dataset, split, train.recipe()), ModelStore(store)

    def look_up(indices: Iterable[int]) -> Outcomes:
        return {index: models.load(index, origins[index]) for index in indices}

    outcomes = look_up(map(int, split.models))
    for _, reason in outcomes.values():
        if reason:
            reporter.note(f"training again {reason}")
    todo = [index for index, (record, _) in outcomes.items() if record is None]
    if len(todo) < len(outcomes):
        reporter.note(f"{len(outcomes) - len(todo)} of {len(outcomes)} models are done already and are reused")
    if todo:
        trained = train_missing(todo, work_of(dataset, split, train, store), train, cluster, store, reporter)
        outcomes |= _once_they_show(look_up, todo, trained.done, store)
        lost = [index for index, (record, _) in outcomes.items() if record is None]
        _check_lost(lost, trained, len(outcomes), store)
        if lost:
            which = ", ".join(map(str, lost))
            reporter.note(f"going on without model {which}, which could not be trained: {trained.failed[lost[0]]}")
    records = _complete([record for record, _ in outcomes.values() if record is not None], origins, models, reporter)
    _write_privacy_meter_files(records, split, train, store)
    return records


def _complete(
    records: list[ModelRecord], origins: Mapping[int, Origin], models: ModelStore, reporter: Reporter
) -> list[ModelRecord]:
    """Add to markers of earlier versions which data and members run.json and the design say that they are of."""
    earlier = sum(not record.data for record in records)
    if earlier:
        reporter.note(
            f"{earlier} models are of an earlier version, whose markers have no hash and do not say which data they "
            "are of; run.json says so, and that is believed; from now on they have both"
        )
    return [record if record.data else models.complete(record, origins[record.index]) for record in records]


@dataclass(frozen=True)
class Trained:
    """What became of the models that were to be trained.

    Args:
        done: Those that are stored.
        failed: Those that failed by themselves, with the reasons.
        trouble: What kept slots from work, if anything did.
    """

    done: set[int]
    failed: dict[int, str]
    trouble: str


def _check_lost(lost: list[int], trained: Trained, models: int, store: RunStore) -> None:
    """Refuse to go on where no model is left, or where one is missing that did not fail by itself."""
    unexplained = [index for index in lost if index not in trained.failed]
    if not unexplained and len(lost) < models:
        return
    which = ", ".join(map(str, unexplained or lost))
    why = (
        trained.trouble
        or next(iter(trained.failed.values()), "")
        or f"it is missing from {store.name}/models; its slot ended"
    )
    raise RunError(
        f"model {which} could not be trained: {why}. Finished models are kept in {store.name}/models; "
        "mend the cause and start the same command again."
    )


def work_of(dataset: Dataset, split: Split, train: TrainSection, store: RunStore) -> TrainingWork:
    """What slots train with; puts the pool and the design into Ray's object store."""
    return TrainingWork(
        x=ray.put(dataset.x),
        y=ray.put(dataset.y),
        member=ray.put(split.member),
        num_classes=dataset.num_classes,
        recipe=asdict(train.recipe()),
        seed=split.seed,
        store=store.uri,
        checkpoint_interval=train.checkpoint_interval,
        threads=max(1, int(model_resources(train.resources_per_model).get("CPU", 1))),
        data=dataset.pool_fingerprint,
    )


def train_missing(
    todo: list[int],
    work: TrainingWork,
    train: TrainSection,
    cluster: ClusterSection,
    store: RunStore,
    reporter: Reporter,
) -> Trained:
    """Train these models, in as many slots as there is room for.

    Raises:
        ConfigError: No model fits on this machine, and it will not grow.
        RunError: The disk is full.
    """
    resources = model_resources(train.resources_per_model)
    _check_room(resources, cluster, reporter)
    queue = _start_queue(todo, train.max_attempts)
    scratch = tempfile.mkdtemp(prefix="raymeter_train_")
    # Attempts are counted by the queue; this only bounds workers that never get as far as asking it.
    max_failures = train.max_attempts * (len(todo) + 1)
    slots = Slots(work, queue, resources, train.workers_per_model, scratch, max_failures)
    view = _View(queue, todo, train.epochs, reporter)
    try:
        _follow(slots, view, len(todo), cluster)
    except (KeyboardInterrupt, SystemExit):
        _save_and_stop(queue)
        raise
    finally:
        slots.abandon()  # an interrupt must not wait for models to finish
        shutil.rmtree(scratch, ignore_errors=True)
    snapshot = view.look()
    if snapshot.fatal:
        ray.kill(queue)
        raise RunError(
            f"{snapshot.fatal}, of which {len(todo) - len(snapshot.done)} are left; free some space and start the same "
            "command again: finished models are kept"
        )
    store.write_sealed(HISTORY, {"attempts": attempts(store) + ray.get(queue.history.remote())})
    trouble = ray.get(queue.why.remote()) or next(iter(slots.errors), "")
    ray.kill(queue)
    return Trained(snapshot.done, snapshot.failed, trouble)


def _check_room(resources: Mapping[str, float], cluster: ClusterSection, reporter: Reporter) -> None:
    """See that a model fits on some node, or can wait for one that is to come."""
    if fits_now(resources):
        return
    wanted = ", ".join(f"{name}: {amount:g}" for name, amount in resources.items())
    if is_embedded(cluster):
        raise ConfigError(
            f"train.resources_per_model: no model fits on this machine, which lacks {{{wanted}}}; "
            "ask for less, or set cluster.address"
        )
    reporter.note(f"no node has {{{wanted}}} at present; waiting for the cluster to grow")


def _start_queue(todo: list[int], max_attempts: int) -> Any:
    """The actor that leases models, on the driver's node, which stays; restarted, it learns from slots what they do."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
    actor: Any = ray.remote(**options)(Leases)
    return actor.remote(todo, max_attempts)


def _once_they_show(
    look_up: Callable[[Iterable[int]], Outcomes], todo: list[int], done: set[int], store: RunStore
) -> Outcomes:
    """What became of the models, once the store shows all that slots have stored; a cloud store may lag behind."""
    end = time.monotonic() + (0 if store.is_local else LAG_SECONDS)
    outcomes = look_up(todo)
    while (late := [index for index in done if outcomes[index][0] is None]) and time.monotonic() < end:
        time.sleep(1.0)
        outcomes |= look_up(late)
    return outcomes


def attempts(store: RunStore) -> list[dict[str, Any]]:
    """Every attempt at a model that was seen to end: which, on which node, from when to when, and its outcome.

    They decide no figure: of a file that is damaged there are none.
    """
    try:
        found = (store.read_sealed(HISTORY, "") or {}).get("attempts", [])
    except StoreError:
        return []
    return [attempt for attempt in found if isinstance(attempt, dict)] if isinstance(found, list) else []


class _View:
    """Passes progress and events of the queue on to the person who waits."""

    def __init__(self, queue: Any, todo: list[int], epochs: int, reporter: Reporter) -> None:
        self.queue, self.todo, self.epochs, self.reporter = queue, todo, epochs, reporter
        self.seen = 0

    def look(self) -> Snapshot:
        """The state of the work at present."""
        snapshot: Snapshot = ray.get(self.queue.snapshot.remote(self.seen))
        for line in snapshot.events:
            self.reporter.note(line)
        self.seen += len(snapshot.events)
        partial = sum(snapshot.epochs.get(index, 0) / self.epochs for index in self.todo if index not in snapshot.done)
        self.reporter.progress(len(snapshot.done) + partial, len(self.todo), "models")
        publish(models_done=len(snapshot.done), models_failed=len(snapshot.failed), retries=snapshot.retries)
        return snapshot


def _follow(slots: Slots, view: _View, models: int, cluster: ClusterSection) -> None:
    """Keep as many slots as there is work and room for, until there is neither work nor a slot."""
    room, looked, idle_since = 0, -LOOK_SECONDS, float("inf")
    while True:
        if time.monotonic() - looked >= LOOK_SECONDS:
            room = slots_to_start(slots.resources, models, cluster, slots.workers)
            if leaving := draining_nodes():
                ray.get(slots.queue.leave_nodes.remote(leaving))
            looked = time.monotonic()
        snapshot = view.look()
        work = snapshot.held + (0 if snapshot.stuck else snapshot.wanted)
        if not snapshot.stuck:
            lacking = min(room, work) - len(slots.runs)
            slots.start(min(lacking, AT_ONCE - slots.starting(snapshot.introduced)))
        if not slots.runs:
            return
        idle_since = float("inf") if work else min(idle_since, time.monotonic())
        if time.monotonic() - idle_since > IDLE_SECONDS:
            slots.call_off()
            idle_since = float("inf")
        slots.wait(POLL_SECONDS)


def _save_and_stop(queue: Any) -> None:
    """Have every slot save its model, for as long as there is time."""
    deadline = time.monotonic() + SAVE_SECONDS
    try:
        ray.get(queue.stop.remote(), timeout=SAVE_SECONDS)
        while time.monotonic() < deadline and ray.get(queue.snapshot.remote(0), timeout=SAVE_SECONDS).held:
            time.sleep(0.05)
    except (ray.exceptions.RayError, OSError):
        pass  # Ray is gone already: there are the checkpoints


def _write_privacy_meter_files(records: list[ModelRecord], split: Split, train: TrainSection, store: RunStore) -> None:
    """memberships.npy (models, pool) and models_metadata.json, which Privacy Meter's users read."""
    write_array(store, "models/memberships.npy", split.member.T)
    store.write_json(
        "models/models_metadata.json",
        {
            str(record.index): {
                "num_train": int(split.member[:, record.index].sum()),
                "optimizer": train.optimizer,
                "batch_size": train.batch_size,
                "epochs": train.epochs,
                "model_name": train.model_name,
                "learning_rate": train.learning_rate,
                "weight_decay": train.weight_decay,
                "model_path": record.weights,
                "train_acc": record.train_accuracy,
                "test_acc": record.test_accuracy,
                **{key: value for key, value in asdict(record).items() if key in ("train_loss", "test_loss", "seed")},
            }
            for record in records
        },
    )
