"""What runs in other processes: the training slot and the signal actor.

Every worker pays for these imports when it starts, so they are few.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import safetensors.torch
import torch
from torch import nn

from raymeter.errors import SignalError
from raymeter.fit import Recipe, Trainer, TrainingData, fit
from raymeter.models import build_model
from raymeter.schema import ModelRecord
from raymeter.signals import View, compute_signals
from raymeter.split import model_seed
from raymeter.store import RunStore, sha256, weights_path

MODEL_MEMORY = 4 * 2**30  # bytes of weights that one actor keeps loaded; the rest is loaded for every block


def device_of_worker() -> torch.device:
    """The GPU that Ray gave to this worker, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() and ray.get_gpu_ids() else "cpu")


class TrainingSlot:
    """A worker with the pool on its device, which trains leased models until the queue is empty.

    The arguments come from `train.py`.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        torch.set_num_threads(config["threads"])  # the bits must not depend on how many slots there are
        self.config, self.queue, self.name = config, config["queue"], config["slot"]
        self.store, self.recipe = RunStore(config["store"]), Recipe(**config["recipe"])
        x, y, self.member = ray.get([config["x"], config["y"], config["member"]])
        self.data = TrainingData.on_device(x, y, config["num_classes"], device_of_worker())

    def train_leased_models(self) -> None:
        """Train one leased model after the other; what a model raises is told to the queue."""
        while (lease := ray.get(self.queue.acquire.remote(self.name))) is not None:
            index, attempt = lease
            try:
                self._train(index, attempt)
                ray.get(self.queue.complete.remote(self.name, index))
            except Exception as error:
                path = f"models/model_{index}.error.txt"
                self.store.write(path, traceback.format_exc().encode())
                first_line = (str(error).splitlines() or [""])[0]
                reason = f"{type(error).__name__}: {first_line} (see {path})"
                ray.get(self.queue.fail.remote(self.name, index, reason))

    def _train(self, index: int, attempt: int) -> None:
        seed = model_seed(self.config["seed"], index)
        if self.store.load_model(index, self.recipe.hash, seed)[0] is not None:
            return  # the queue was restarted and has forgotten that this one is done

        def new_trainer() -> Trainer:
            return Trainer(self.data, np.ascontiguousarray(self.member[:, index]), self.recipe, seed)

        _train_one(index, attempt, new_trainer, self.store, self.queue, self.config["checkpoint_interval"])


def _train_one(
    index: int,
    attempt: int,
    new_trainer: Callable[[], Trainer],
    store: RunStore,
    queue: Any,
    checkpoint_interval: float,
) -> None:
    """Train one model from its last checkpoint, if it has one, and store it with its marker last.

    Raises:
        SignalError: The model has diverged.
    """
    trainer = new_trainer()
    recipe = trainer.recipe
    saved, reason = store.load_checkpoint(index, recipe.hash)
    if saved is not None:
        try:
            trainer.load_state(saved)
        except (KeyError, RuntimeError, ValueError):  # an edited module:function, say
            trainer = new_trainer()  # the old one may be half loaded
            reason = f"model {index}: its checkpoint does not fit the model"
    if reason:
        queue.say.remote(f"starting anew {reason}")
    last_save = time.monotonic()

    def after_epoch(trainer: Trainer) -> None:
        nonlocal last_save
        queue.advance.remote(index, trainer.epoch)
        if trainer.epoch < recipe.epochs and time.monotonic() - last_save >= checkpoint_interval:
            store.save_checkpoint(index, trainer.state(), recipe.hash)
            last_save = time.monotonic()

    fitted = fit(trainer, after_epoch)
    if not math.isfinite(fitted.train_loss + fitted.test_loss):
        raise SignalError("training diverged, its loss is not finite; lower train.learning_rate")
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
    store.save_model(record, weights)


@dataclass(frozen=True)
class SignalWork:
    """What a signal actor needs besides the records."""

    store: RunStore
    models: tuple[ModelRecord, ...]
    architecture: str
    input_shape: tuple[int, ...]
    num_classes: int
    views: tuple[View, ...]
    threads: int
    keep_logits: bool


class SignalActor:
    """Holds models and computes their signals block by block."""

    def __init__(self, work: SignalWork) -> None:
        torch.set_num_threads(work.threads)
        self.work = work
        self.device = device_of_worker()
        self.loaded: list[nn.Module] = []
        size = 0
        for record in work.models:
            model = self._load(record)
            size += sum(tensor.nbytes for tensor in model.state_dict().values())
            if size > MODEL_MEMORY:
                break
            self.loaded.append(model)

    def _load(self, record: ModelRecord) -> nn.Module:
        model = build_model(self.work.architecture, self.work.input_shape, self.work.num_classes)
        model.load_state_dict(self.work.store.read_weights(record))
        return model.to(self.device).eval()

    def _models(self) -> Iterator[nn.Module]:
        yield from self.loaded
        for record in self.work.models[len(self.loaded) :]:
            yield self._load(record)

    def __call__(self, block: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        work = self.work
        found = compute_signals(self._models(), block["x"], block["y"], work.views, self.device, work.keep_logits)
        rows = np.moveaxis(found.values, 0, 1)  # [records, kinds, models, queries]
        logits = {} if found.logits is None else {"logits": found.logits}
        return {"row": block["row"], "signals": np.ascontiguousarray(rows), **logits}
