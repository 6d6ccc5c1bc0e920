"""Reference models across the cluster: slots that lease models, retries, resume.

K single-worker Ray Train runs ("slots") take model indices from a small queue actor until none is
left. A lost worker costs the one model in flight there, which goes on from its last checkpoint. The
marker of a finished model is written last, by the worker, into the run store; the queue is built
from the markers, so it holds nothing that could be lost.
"""

from __future__ import annotations

import shutil
import time
import traceback
import uuid
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import ray
import ray.train
import safetensors.torch
import torch
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from raymeter.config import ClusterSection, TrainSection
from raymeter.console import Reporter
from raymeter.errors import RunError
from raymeter.fit import Recipe, Trainer, TrainingData, fit
from raymeter.runtime import count_slots, model_resources
from raymeter.schema import Dataset, ModelRecord, Split
from raymeter.split import seed_for
from raymeter.store import RunStore, sha256, weights_path

POLL_SECONDS = 0.25


@dataclass
class Leases:
    """Which model is leased to which slot; plain bookkeeping, wrapped in an actor by `train_references`."""

    todo: list[int]
    max_attempts: int
    held: dict[str, int] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)

    def acquire(self, slot: str) -> tuple[int, int] | None:
        """Next (model, attempt) for a slot, or None when nothing is left.

        A slot that asks while it still holds a lease has been restarted: its worker died.
        """
        if slot in self.held:
            self.fail(slot, self.held[slot], "its worker died")
        if not self.todo:
            return None
        model = self.todo.pop(0)
        self.held[slot] = model
        self.attempts[model] = self.attempts.get(model, 0) + 1
        return model, self.attempts[model]

    def advance(self, model: int, epoch: int) -> None:
        """A model has finished an epoch."""
        self.epochs[model] = epoch

    def complete(self, slot: str, model: int) -> None:
        """A model is done and stored."""
        self.held.pop(slot, None)
        self.done.add(model)

    def fail(self, slot: str, model: int, reason: str) -> None:
        """An attempt has ended without a model: queue it again, or give it up after `max_attempts`."""
        self.held.pop(slot, None)
        tries = self.attempts.get(model, 0)
        if tries < self.max_attempts:
            self.todo.insert(0, model)
            self.events.append(f"retrying model {model} (attempt {tries + 1} of {self.max_attempts}): {reason}")
        else:
            self.failed[model] = reason
            self.events.append(f"giving up model {model} after {tries} attempts: {reason}")

    def release(self, slot: str) -> None:
        """A slot has ended for good; its lease, if any, goes back."""
        if slot in self.held:
            self.fail(slot, self.held[slot], "its slot ended")

    def snapshot(self, events_seen: int) -> tuple[set[int], dict[int, int], dict[int, str], list[str]]:
        """Done models, epochs of the others, failed models, and the events after the first `events_seen`."""
        return self.done, self.epochs, self.failed, self.events[events_seen:]


def train_references(
    dataset: Dataset, split: Split, train: TrainSection, cluster: ClusterSection, store: RunStore, reporter: Reporter
) -> list[ModelRecord]:
    """Train every model that is not in the store yet; returns the records of all, in model order.

    Raises:
        RunError: A model failed `train.max_attempts` times; names the models and where the traceback is.
    """
    models = split.member.shape[1]
    recipe = train.recipe()
    found = {index: store.load_model(index, recipe.hash) for index in range(models)}
    for _, reason in found.values():
        if reason:
            reporter.note(f"training again {reason}")
    todo = [index for index, (record, _) in found.items() if record is None]
    if len(todo) < models:
        reporter.note(f"{models - len(todo)} of {models} models are done already and are reused")
    if todo:
        _train_missing(todo, dataset, split, train, cluster, store, reporter)
    records = []
    for index in range(models):
        record, _ = store.load_model(index, recipe.hash)
        if record is None:
            raise RunError(f"model {index} is missing from {store.uri}/models although it was trained; start again")
        records.append(record)
    _write_privacy_meter_files(records, split, train, store)
    return records


def _train_missing(
    todo: list[int],
    dataset: Dataset,
    split: Split,
    train: TrainSection,
    cluster: ClusterSection,
    store: RunStore,
    reporter: Reporter,
) -> None:
    resources = model_resources(train.resources_per_model)
    slots = count_slots(resources, len(todo), cluster.max_slots)
    actor: Any = ray.remote(num_cpus=0)(Leases)
    queue = actor.remote(todo, train.max_attempts)
    shared = {
        "queue": queue,
        "x": ray.put(dataset.x),
        "y": ray.put(dataset.y),
        "member": ray.put(split.member),
        "num_classes": dataset.num_classes,
        "recipe": train.recipe(),
        "seed": split.seed,
        "store": store,
        "checkpoint_interval": train.checkpoint_interval,
        "threads": max(1, int(resources.get("CPU", 1))),
    }
    name = uuid.uuid4().hex[:8]
    with ThreadPoolExecutor(slots) as pool:
        runs = [pool.submit(_run_slot, f"{name}-{slot}", shared, resources) for slot in range(slots)]
        failed = _watch(runs, queue, todo, train.epochs, reporter)
    if store.is_local:
        shutil.rmtree(_scratch(store), ignore_errors=True)
    errors = [run.exception() for run in runs if run.exception()]
    done = ray.get(queue.snapshot.remote(0))[0]
    if failed or len(done) < len(todo):
        which = ", ".join(str(index) for index in sorted(failed or set(todo) - done))
        why = next(iter(failed.values()), str(errors[0]).splitlines()[0] if errors else "its slot ended")
        raise RunError(
            f"model {which} could not be trained: {why}. Finished models are kept in {store.uri}/models; "
            "mend the cause and start the same command again."
        )


def _run_slot(slot: str, shared: dict[str, Any], resources: dict[str, float]) -> None:
    """One Ray Train run of one worker; blocks until its worker finds the queue empty."""
    try:
        DataParallelTrainer(
            _slot_worker,
            train_loop_config={**shared, "slot": slot},
            scaling_config=ray.train.ScalingConfig(
                num_workers=1, use_gpu="GPU" in resources, resources_per_worker=resources
            ),
            run_config=ray.train.RunConfig(
                name=f"slot-{slot}",
                storage_path=_scratch(shared["store"]),
                failure_config=ray.train.FailureConfig(max_failures=-1),  # the queue counts attempts per model
                logging_config=ray.train.LoggingConfig(log_level="ERROR"),
            ),
        ).fit()
    finally:
        ray.get(shared["queue"].release.remote(slot))


def _scratch(store: RunStore) -> str:
    """Ray Train wants a directory that all nodes see, although no slot stores anything through it."""
    return f"{store.uri}/.ray_train"


def _slot_worker(config: dict[str, Any]) -> None:
    """Runs in the slot's worker process: train leased models until none is left."""
    torch.set_num_threads(config["threads"])  # the bits must not depend on how many slots there are
    device = torch.device("cuda" if torch.cuda.is_available() and ray.get_gpu_ids() else "cpu")
    x, y, member = ray.get([config["x"], config["y"], config["member"]])
    data = TrainingData.on_device(x, y, config["num_classes"], device)
    queue, slot = config["queue"], config["slot"]
    while (lease := ray.get(queue.acquire.remote(slot))) is not None:
        index, attempt = lease
        try:
            _train_one(index, attempt, data, np.ascontiguousarray(member[:, index]), config)
            ray.get(queue.complete.remote(slot, index))
        except Exception as error:
            path = f"models/model_{index}.error.txt"
            config["store"].write(path, traceback.format_exc().encode())
            reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} (see {path})"
            ray.get(queue.fail.remote(slot, index, reason))


def _train_one(index: int, attempt: int, data: TrainingData, member: np.ndarray, config: dict[str, Any]) -> ModelRecord:
    store: RunStore = config["store"]
    recipe: Recipe = config["recipe"]
    trainer = Trainer(data, member, recipe, seed_for(config["seed"], "model", index))
    saved = store.load_checkpoint(index, recipe.hash)
    if saved is not None:
        trainer.load_state(saved)
    last_save = time.monotonic()

    def after_epoch(trainer: Trainer) -> None:
        nonlocal last_save
        config["queue"].advance.remote(index, trainer.epoch)
        if trainer.epoch < recipe.epochs and time.monotonic() - last_save >= config["checkpoint_interval"]:
            store.save_checkpoint(index, trainer.state(), recipe.hash)
            last_save = time.monotonic()

    fitted = fit(trainer, after_epoch)
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in fitted.model.state_dict().items()}
    weights = safetensors.torch.save(tensors)
    record = ModelRecord(
        index=index,
        seed=trainer.seed,
        weights=weights_path(index),
        sha256=sha256(weights),
        recipe=recipe.hash,
        train_accuracy=fitted.train_accuracy,
        test_accuracy=fitted.test_accuracy,
        train_loss=fitted.train_loss,
        test_loss=fitted.test_loss,
        seconds=fitted.seconds,
        attempts=attempt,
    )
    return store.save_model(record, weights)


def _watch(runs: list[Future[None]], queue: Any, todo: list[int], epochs: int, reporter: Reporter) -> dict[int, str]:
    """Pass progress and events on until every slot has ended; returns the failed models with their reasons."""
    pending = set(runs)
    seen = 0
    failed: dict[int, str] = {}
    while pending:
        _, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        done, progress, failed, events = ray.get(queue.snapshot.remote(seen))
        for line in events:
            reporter.note(line)
        seen += len(events)
        partial = sum(progress.get(index, 0) / epochs for index in todo if index not in done)
        reporter.progress(len(done) + partial, len(todo), "models")
    return failed


def _write_privacy_meter_files(records: list[ModelRecord], split: Split, train: TrainSection, store: RunStore) -> None:
    """memberships.npy (models, pool) and models_metadata.json, which Privacy Meter's users read."""
    store.save_array("models/memberships.npy", np.ascontiguousarray(split.member.T))
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
