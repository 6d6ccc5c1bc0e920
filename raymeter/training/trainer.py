"""Train one model on its members: plain torch, no Ray, the same bits for the same seed on the same kind of device.

All records stay on the device as they were stored (uint8 images stay uint8); batches are gathered,
normalised and augmented there. Every epoch draws from its own generator, derived from the model's
seed, so that a run which resumes from a checkpoint, taken between any two batches, ends where an
undisturbed one would.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from raymeter.models import build_model
from raymeter.models.inputs import as_tensor, exact_convolutions, normalise
from raymeter.models.tabular import fills_gaps, learn_from_members
from raymeter.schema.recipe import Recipe
from raymeter.schema.seeds import seed_for
from raymeter.training.augment import augment_batch
from raymeter.training.optimizer import Optimizer, learning_rate_at


@dataclass(frozen=True)
class TrainingData:
    """The whole pool on one device, shared by all models that are trained there one after the other."""

    x: Tensor
    y: Tensor
    num_classes: int

    @classmethod
    def on_device(cls, x: np.ndarray, y: np.ndarray, num_classes: int, device: torch.device) -> TrainingData:
        """Move the pool to the device once; on a CPU nothing is copied."""
        return cls(as_tensor(x).to(device), as_tensor(y).to(device), num_classes)


@dataclass(frozen=True)
class Share:
    """Which of several workers this one is; together they train one model, each on its part of every batch."""

    rank: int = 0
    workers: int = 1

    def of(self, ids: Tensor) -> Tensor:
        """This worker's part of a batch."""
        return ids.tensor_split(self.workers)[self.rank]


@dataclass(frozen=True)
class Fitted:
    """A trained model with its accuracy and mean cross-entropy on both halves of the pool."""

    model: nn.Module
    train_accuracy: float
    test_accuracy: float
    train_loss: float
    test_loss: float
    seconds: float


class Trainer:
    """One model in training: stepping through epochs, and to and from a flat dict of tensors.

    Args:
        data: The pool, on the device that trains.
        member: Which pool records this model is trained on.
        recipe: How to train.
        seed: This model's own seed: initial weights, batch order, augmentation, dropout.
        share: Which part of each batch is this worker's, where several train one model in a torch process group.
            The result is that of one worker with the same batches, but for rounding and for dropout; batch
            normalisation sees the whole batch on GPUs only, which is where torch can do that.
    """

    def __init__(
        self,
        data: TrainingData,
        member: Bool[np.ndarray, " pool"],
        recipe: Recipe,
        seed: int,
        share: Share = Share(),
    ) -> None:
        self.data, self.recipe, self.seed, self.share = data, recipe, seed, share
        self.epoch, self.batch = 0, 0
        self.device = data.x.device
        self._ids = torch.from_numpy(np.flatnonzero(member))
        self._other_ids = torch.from_numpy(np.flatnonzero(~member))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_for(seed, "weights"))
            self.model = build_model(recipe.model, tuple(data.x.shape[1:]), data.num_classes).to(self.device)
        if fills_gaps(self.model):
            learn_from_members(self.model, normalise(data.x[self._ids.to(self.device)]))
        self._forward: nn.Module = self.model
        if share.workers > 1:
            if self.device.type == "cuda":
                self.model = nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
            self._forward = DistributedDataParallel(self.model)
        self._random: dict[str, Tensor] = {}  # generators in mid-epoch
        self.optimizer = Optimizer(self.model.parameters(), recipe)
        self._ema = None
        if recipe.ema is not None:
            self._ema = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)

    def train_epoch(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Run (the rest of) one epoch over the members, in an order of its own.

        Args:
            go_on: Asked before every batch; where it says no, the epoch stops there.

        Returns:
            Whether the epoch is complete.
        """
        order_seed = seed_for(self.seed, "epoch", self.epoch)
        generator = torch.Generator().manual_seed(order_seed)
        batches = math.ceil(len(self._ids) / self.recipe.batch_size)
        order = self._ids[torch.randperm(len(self._ids), generator=generator)].to(self.device)
        self.model.train()
        with self._random_of_epoch(order_seed, generator):
            # Near-equal batches: a last batch of one record would break batch normalisation.
            for ids in order.tensor_split(batches)[self.batch :]:
                if not go_on():
                    self._random = self._get_random(generator)
                    return False
                self._step(ids, (self.epoch * batches + self.batch) / (self.recipe.epochs * batches), generator)
                self.batch += 1
        self.epoch, self.batch = self.epoch + 1, 0
        return True

    @contextmanager
    def _random_of_epoch(self, seed: int, generator: torch.Generator) -> Iterator[None]:
        """Everything random is this epoch's own, and goes on where it was if the epoch was interrupted."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), exact_convolutions(tf32=True):
            torch.manual_seed(seed)
            self._set_random(generator)
            yield

    def _get_random(self, generator: torch.Generator) -> dict[str, Tensor]:
        states = {"batches": generator.get_state(), "torch": torch.get_rng_state()}
        return states | ({"cuda": torch.cuda.get_rng_state(self.device)} if self.device.type == "cuda" else {})

    def _set_random(self, generator: torch.Generator) -> None:
        if self._random:
            generator.set_state(self._random["batches"])
            torch.set_rng_state(self._random["torch"])
            if self.device.type == "cuda" and "cuda" in self._random:
                torch.cuda.set_rng_state(self._random["cuda"], self.device)
        self._random = {}

    def _step(self, ids: Tensor, progress: float, generator: torch.Generator) -> None:
        self._learn(self.data.x[ids], self.data.y[ids], progress, generator)

    def _learn(self, records: Tensor, classes: Tensor, progress: float, generator: torch.Generator) -> None:
        x = augment_batch(normalise(records), self.recipe.augment, generator)
        bf16 = self.recipe.precision == "bf16" and self.device.type == "cuda"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits = self._forward(self.share.of(x)).float()
        labels = self.share.of(classes)
        if self.share.workers == 1:
            loss = F.cross_entropy(logits, labels)
        else:  # workers average their gradients, and their parts need not be equal
            loss = F.cross_entropy(logits, labels, reduction="sum") * (self.share.workers / len(records))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step(learning_rate_at(self.recipe, progress))
        if self._ema is not None:
            self._ema.update_parameters(self.model)

    @property
    def final_model(self) -> nn.Module:
        """The model to keep: the moving average where the recipe asks for one."""
        return self.model if self._ema is None else self._ema.module

    @torch.no_grad()
    def evaluate(self, ids: Tensor) -> tuple[float, float]:
        """Accuracy and mean cross-entropy of the final model on some pool records."""
        model = self.final_model.eval()
        correct, loss = 0, 0.0
        for part in ids.to(self.device).split(1024):
            logits = model(normalise(self.data.x[part])).float()
            correct += int((logits.argmax(1) == self.data.y[part]).sum())
            loss += float(F.cross_entropy(logits, self.data.y[part], reduction="sum"))
        return correct / len(ids), loss / len(ids)

    def finish(self, seconds: float) -> Fitted:
        """Evaluate both halves and hand over the model."""
        train_accuracy, train_loss = self.evaluate(self._ids)
        test_accuracy, test_loss = self.evaluate(self._other_ids)
        return Fitted(self.final_model, train_accuracy, test_accuracy, train_loss, test_loss, seconds)

    def state(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, as named tensors: weights, optimizer, average, place, generators."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for index, slots in self.optimizer.state.items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in slots.items()}
        if self._ema is not None:
            tensors |= {f"ema.{name}": value for name, value in self._ema.state_dict().items()}
        tensors |= {f"random.{name}": value for name, value in self._random.items()}
        tensors |= {"epoch": torch.tensor(self.epoch), "batch": torch.tensor(self.batch)}
        return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state` returned; raises KeyError or RuntimeError where it does not fit."""
        self.model.load_state_dict(_with_prefix(tensors, "model."))
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in _with_prefix(tensors, "optimizer.").items():
            index, slot = name.split(".", 1)
            slots.setdefault(int(index), {})[slot] = value
        self.optimizer.load_state(slots)
        if self._ema is not None:
            self._ema.load_state_dict(_with_prefix(tensors, "ema."))
        self._random = _with_prefix(tensors, "random.")
        self.epoch, self.batch = int(tensors["epoch"]), int(tensors["batch"])


def fit(
    trainer: Trainer, after_epoch: Callable[[Trainer], None], go_on: Callable[[], bool] = lambda: True
) -> Fitted | None:
    """Train from wherever the trainer stands to its last epoch; `after_epoch` may save and report.

    Returns:
        The trained model, or None where `go_on` has said no before a batch; the trainer's state can be saved.
    """
    start = time.perf_counter()
    while trainer.epoch < trainer.recipe.epochs:
        if not trainer.train_epoch(go_on):
            return None
        after_epoch(trainer)
    return trainer.finish(time.perf_counter() - start)


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
