"""Reference models across the cluster: slots that lease models, retries, resume.

K single-worker Ray Train runs ("slots") take model indices from a small queue actor until none is
left. A lost worker costs the one model in flight there, which goes on from its last checkpoint. The
marker of a finished model is written last, by the worker, into the run store; the queue is built
from the markers, so it holds nothing that could be lost.
"""

from __future__ import annotations

import shutil
import uuid
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from typing import Any

import numpy as np
import ray
from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from raymeter.config import ClusterSection, TrainSection
from raymeter.console import Reporter
from raymeter.errors import ConfigError, RunError
from raymeter.leases import Leases
from raymeter.runtime import count_slots, fits_now, is_embedded, model_resources
from raymeter.schema import Dataset, ModelRecord, Split
from raymeter.slot import train_slot
from raymeter.split import model_seed
from raymeter.store import RunStore

POLL_SECONDS = 0.25


def train_references(
    dataset: Dataset, split: Split, train: TrainSection, cluster: ClusterSection, store: RunStore, reporter: Reporter
) -> list[ModelRecord]:
    """Train every model that is not in the store yet; returns the records of all, in model order.

    Raises:
        RunError: A model failed `train.max_attempts` times; names the models and where the traceback is.
    """
    models = split.member.shape[1]
    recipe = train.recipe()
    found = {index: store.load_model(index, recipe.hash, model_seed(split.seed, index)) for index in range(models)}
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
        record, _ = store.load_model(index, recipe.hash, model_seed(split.seed, index))
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
    if not fits_now(resources):
        wanted = ", ".join(f"{name}: {amount:g}" for name, amount in resources.items())
        if is_embedded(cluster):
            raise ConfigError(
                f"train.resources_per_model: no model fits on this machine, which lacks {{{wanted}}}; "
                "ask for less, or set cluster.address"
            )
        reporter.note(f"no node has {{{wanted}}} at present; waiting for the cluster to grow")
    # A restarted queue starts from the whole list again; workers pass over models that are done.
    actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Leases)
    queue = actor.remote(todo, train.max_attempts)
    name = uuid.uuid4().hex[:8]
    shared = {
        "queue": queue,
        "x": ray.put(dataset.x),
        "y": ray.put(dataset.y),
        "member": ray.put(split.member),
        "num_classes": dataset.num_classes,
        "recipe": asdict(train.recipe()),
        "seed": split.seed,
        "store": store.uri,
        "scratch": f"{store.uri}/.ray_train_{name}",
        # Attempts are counted by the queue; this only bounds workers that never get as far as asking it.
        "max_failures": train.max_attempts * (len(todo) + 1),
        "checkpoint_interval": train.checkpoint_interval,
        "threads": max(1, int(resources.get("CPU", 1))),
    }
    pool = ThreadPoolExecutor(slots)
    try:
        runs = [pool.submit(_run_slot, f"{name}-{slot}", shared, resources) for slot in range(slots)]
        failed = _watch(runs, queue, todo, train.epochs, reporter)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # an interrupt must not wait for models to finish
        if store.is_local:
            shutil.rmtree(shared["scratch"], ignore_errors=True)
    errors = [str(run.exception()).splitlines()[0] for run in runs if run.exception()]
    recipe = train.recipe().hash
    missing = [index for index in todo if store.load_model(index, recipe, model_seed(split.seed, index))[0] is None]
    if missing:
        which = ", ".join(str(index) for index in missing)
        why = next(iter(failed.values()), "") or ray.get(queue.why.remote()) or next(iter(errors), "its slot ended")
        raise RunError(
            f"model {which} could not be trained: {why}. Finished models are kept in {store.uri}/models; "
            "mend the cause and start the same command again."
        )


def _run_slot(slot: str, shared: dict[str, Any], resources: dict[str, float]) -> None:
    """One Ray Train run of one worker; blocks until its worker finds the queue empty."""
    try:
        DataParallelTrainer(
            train_slot,
            train_loop_config={**shared, "slot": slot},
            scaling_config=ScalingConfig(num_workers=1, use_gpu="GPU" in resources, resources_per_worker=resources),
            run_config=RunConfig(  # type: ignore[arg-type]
                name=f"slot-{slot}",
                storage_path=shared["scratch"],  # all nodes must see it, although nothing is stored through it
                failure_config=FailureConfig(max_failures=shared["max_failures"]),
                logging_config=LoggingConfig(log_level="ERROR"),
            ),
        ).fit()
    finally:
        if ray.is_initialized():  # not so after an interrupt
            ray.get(shared["queue"].release.remote(slot))


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
