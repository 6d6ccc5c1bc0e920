"""Train one model on records that are never in memory as a whole: plain torch, no Ray.

An epoch reads the chunks of the data in an order of its own and shuffles the members of several chunks at a time.
That order depends on the model's seed and the epoch alone, so the bits do not depend on who reads the records, how
many slots there are, or where a run was interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.nn import functional as F

from raymeter.errors import RunError
from raymeter.models.inputs import as_tensor, normalise
from raymeter.schema.dataset import LazyRecords
from raymeter.schema.recipe import Recipe
from raymeter.schema.seeds import seed_for
from raymeter.training.trainer import Fitted, Share, Trainer, TrainingData

SHUFFLED_BYTES = 128 * 2**20  # records that are shuffled together, at most
SHUFFLED_SHARE = 4  # and at most one in so many of all, so that small data behave like large
EVALUATED_AT_ONCE = 8192
ALONE = Share()

Chunk = tuple[int, int]
Rows = tuple[Int64[np.ndarray, " rows"], np.ndarray, Int64[np.ndarray, " rows"]]


@runtime_checkable
class RecordStream(Protocol):
    """Gives numbers, records and labels of chunks in their order; of some records only where a mask is given."""

    def __call__(self, chunks: Sequence[Chunk], keep: Bool[np.ndarray, " pool"] | None) -> Iterator[Rows]: ...


@dataclass(frozen=True)
class StreamedData(TrainingData):
    """A pool in files. `x` is empty: it only says what a record looks like and where training happens."""

    chunks: tuple[Chunk, ...]
    window: int
    stream: RecordStream

    @classmethod
    def of(
        cls, records: LazyRecords, y: np.ndarray, num_classes: int, device: torch.device, stream: RecordStream
    ) -> StreamedData:
        """A pool that is read through `stream`."""
        empty = as_tensor(np.empty((0, *records.shape[1:]), records.dtype)).to(device)
        window = int(min(SHUFFLED_BYTES, records.nbytes / SHUFFLED_SHARE) * len(records) / records.nbytes)
        return cls(empty, as_tensor(y), num_classes, tuple(records.chunks()), max(1, window), stream)


class StreamedTrainer(Trainer):
    """One model in training on a pool in files; see `Trainer`."""

    data: StreamedData

    def __init__(
        self,
        data: StreamedData,
        member: Bool[np.ndarray, " pool"],
        recipe: Recipe,
        seed: int,
        share: Share = ALONE,
    ) -> None:
        super().__init__(data, member, recipe, seed, share)
        self.member = member

    def train_epoch(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Run (the rest of) one epoch over the members; see `Trainer.train_epoch`."""
        order_seed = seed_for(self.seed, "epoch", self.epoch)
        generator = torch.Generator().manual_seed(order_seed)
        batches = math.ceil(len(self._ids) / self.recipe.batch_size)
        self.model.train()
        with self._random_of_epoch(order_seed, generator):
            for position, (x, y) in enumerate(self._batches(batches, np.random.default_rng(order_seed))):
                if position < self.batch:  # trained before an interruption; the order is the same again
                    continue
                if not go_on():
                    self._random = self._get_random(generator)
                    return False
                progress = (self.epoch * batches + self.batch) / (self.recipe.epochs * batches)
                self._learn(x.to(self.device), y.to(self.device), progress, generator)
                self.batch += 1
        if self.batch != batches:
            raise RunError(f"an epoch had {self.batch} batches instead of {batches}; records are missing: start again")
        self.epoch, self.batch = self.epoch + 1, 0
        return True

    def _batches(self, batches: int, rng: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Near-equal batches of all members, shuffled within a window that moves over the shuffled chunks."""
        sizes = [len(part) for part in np.array_split(np.empty(len(self._ids), np.int8), batches)][::-1]
        order = [self.data.chunks[i] for i in rng.permutation(len(self.data.chunks))]
        held: list[tuple[np.ndarray, np.ndarray]] = []
        for last, (_, x, y) in _with_last(self.data.stream(order, self.member)):
            held.append((x, y))
            if not last and sum(len(part) for _, part in held) < self.data.window:
                continue
            x, y = (np.concatenate([part[i] for part in held]) for i in (0, 1))
            mixed, start = rng.permutation(len(x)), 0
            while sizes and len(mixed) - start >= sizes[-1]:
                chosen = mixed[start : start + sizes.pop()]
                yield as_tensor(x[chosen]), as_tensor(y[chosen])
                start += len(chosen)
            held = [(x[mixed[start:]], y[mixed[start:]])]

    @torch.no_grad()
    def finish(self, seconds: float) -> Fitted:
        """Evaluate both halves in one pass over all records, and hand over the model."""
        model = self.final_model.eval()
        correct, loss = np.zeros(2), np.zeros(2)
        for ids, x, y in self.data.stream(self.data.chunks, None):
            for start in range(0, len(ids), EVALUATED_AT_ONCE):
                some = slice(start, start + EVALUATED_AT_ONCE)
                labels = as_tensor(y[some]).to(self.device)
                logits = model(normalise(as_tensor(x[some]).to(self.device))).float()
                inside = as_tensor(self.member[ids[some]]).to(self.device)
                right, losses = logits.argmax(1) == labels, F.cross_entropy(logits, labels, reduction="none").double()
                for half, mine in enumerate((inside, ~inside)):
                    correct[half] += int(right[mine].sum())
                    loss[half] += float(losses[mine].sum())
        counts = np.array([len(self._ids), len(self._other_ids)])
        accuracy, mean = correct / counts, loss / counts
        return Fitted(self.final_model, float(accuracy[0]), float(accuracy[1]), float(mean[0]), float(mean[1]), seconds)


def _with_last(rows: Iterator[Rows]) -> Iterator[tuple[bool, Rows]]:
    """Each with whether it is the last one."""
    before = next(rows, None)
    while before is not None:
        after = next(rows, None)
        yield after is None, before
        before = after


def read_directly(records: LazyRecords, y: np.ndarray) -> RecordStream:
    """Reads chunks in this process: what Ray's stream must be equal to."""

    def stream(chunks: Sequence[Chunk], keep: Bool[np.ndarray, " pool"] | None) -> Iterator[Rows]:
        for start, stop in chunks:
            ids = np.arange(start, stop)
            x = records.read(start, stop)
            chosen = slice(None) if keep is None else keep[ids]
            yield ids[chosen], x[chosen], y[ids[chosen]]

    return stream
