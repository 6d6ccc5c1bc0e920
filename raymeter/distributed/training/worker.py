"""What a training slot does in its worker: train leased models, keep checkpoints, store what is done.

Every worker pays for these imports when it starts, so they are few.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import ray
import safetensors.torch
import torch

from raymeter.distributed.device import device_of_worker
from raymeter.distributed.training.work import TrainingWork
from raymeter.errors import SignalError, StoreError, exit_refused, first_line
from raymeter.models.build import size_of, weights_bytes
from raymeter.schema.model_record import ModelRecord, Origin, members_digest
from raymeter.schema.recipe import Recipe
from raymeter.schema.seeds import model_seed
from raymeter.storage.local_files import sha256
from raymeter.storage.model_store import ModelStore, weights_path
from raymeter.storage.room import free_bytes, is_full_disk, readable
from raymeter.storage.run_store import RunStore
from raymeter.training.streamed_trainer import StreamedData, StreamedTrainer
from raymeter.training.trainer import Fitted, Share, Trainer, TrainingData, fit
from raymeter.training.user_trainer import OwnTrainer

WATCH_SECONDS = 0.5  # how long a slot may not know that it is to stop
BATCHES_BETWEEN_ORDERS = 8  # where several workers train one model and must hear the same


class TrainingSlot:
    """A worker with the pool on its device, which trains leased models until there is nothing left to do.

    Where several workers train one model together, the first of them speaks with the queue and the store.
    """

    def __init__(self, work: TrainingWork, queue: Any, name: str, share: Share) -> None:
        torch.set_num_threads(work.threads)  # the bits must not depend on how many slots there are
        self.work, self.queue, self.name, self.share = work, queue, name, share
        self.store, self.recipe = RunStore(work.store), Recipe(**work.recipe)
        self.models = ModelStore(self.store)
        x, y, self.member = ray.get([work.x, work.y, work.member])
        if isinstance(x, np.ndarray):
            self.data = TrainingData.on_device(x, y, work.num_classes, device_of_worker())
        else:
            from raymeter.distributed.record_stream import read_in_order

            stream = partial(read_in_order, work.x, work.y)
            self.data = StreamedData.of(x, y, work.num_classes, device_of_worker(), stream)

    def train_leased_models(self) -> None:
        """Train one leased model after the other; what a model raises is reported to the queue."""
        while (lease := self._together(lambda: ray.get(self.queue.acquire.remote(self.name)))) is not None:
            index, attempt = lease
            try:
                with exit_refused(
                    SignalError, f"train.model_name: {self.recipe.model}"
                ):  # of train.fit it says so itself
                    self._train(index, attempt)
            except Exception as error:
                if self.share.rank == 0:
                    self._report_failure(index, error)
                if self.share.workers > 1:
                    raise  # the others may be waiting for this one: Ray Train restarts them all

    def _together(self, ask: Callable[[], Any]) -> Any:
        """What the first worker hears, known to all."""
        if self.share.workers == 1:
            return ask()
        from ray.train.collective import broadcast_from_rank_zero

        return broadcast_from_rank_zero(ask() if self.share.rank == 0 else None)

    def _report_failure(self, index: int, error: Exception) -> None:
        """Store the traceback, and report its first line to the queue."""
        if isinstance(error, StoreError) and is_full_disk(error):
            ray.get(self.queue.halt.remote(self.name, self._no_room()))
            return
        path = f"models/model_{index}.error.txt"
        reason = f"{type(error).__name__}: {first_line(error, '')}"
        try:
            self.store.write(path, traceback.format_exc().encode())
            reason += f" (see {path})"
        except StoreError as unwritten:
            reason += f" (its traceback was lost: {unwritten})"
        ray.get(self.queue.fail.remote(self.name, index, reason))

    def _no_room(self) -> str:
        """What there is room for, and what a model takes."""
        weights = weights_bytes(self.recipe.model, tuple(self.data.x.shape[1:]), self.data.num_classes)
        free = free_bytes(self.store)
        room = "has no room" if free is None else f"has room for {readable(free)}"
        return f"the disk is full: {self.store.name} {room}, and the weights of a model take {readable(weights)}"

    def _train(self, index: int, attempt: int) -> None:
        """Train one model from its last checkpoint, if it has one, and store it with its marker last.

        Raises:
            SignalError: The model has diverged.
            StoreError: The workers of the model have read different checkpoints.
        """
        started, origin = time.time(), self._origin(index)
        if self._together(lambda: self.models.load(index, origin)[0] is not None):
            if self.share.rank == 0:  # the queue was restarted and has forgotten that this one is done
                ray.get(self.queue.complete.remote(self.name, index))
            return
        trainer, reason = self._trainer(index, origin)
        if reason and self.share.rank == 0:
            self.queue.say.remote(f"starting anew {reason}")
        place = trainer.epoch, trainer.batch
        if self._together(lambda: place) != place:  # another slot, or a store that lags behind, came between
            raise StoreError(f"model {index}: its workers have read different checkpoints; they start again")
        watch = Watch(self, index, origin, trainer)
        if isinstance(trainer, OwnTrainer):
            trainer.after_save = watch.keep
        fitted = fit(trainer, watch.after_epoch, watch.go_on)
        if self.share.rank > 0:
            return
        if fitted is None:
            if watch.order == "stop":
                self.models.save_checkpoint(index, trainer.state(), origin)
            ray.get(self.queue.give_back.remote(self.name, "its slot was called back"))
        elif not math.isfinite(fitted.train_loss + fitted.test_loss):
            raise SignalError("training diverged, its loss is not finite; lower train.learning_rate")
        elif ray.get(self.queue.may_store.remote(self.name, index)):
            self._save(fitted, origin, index, attempt, started)
            ray.get(self.queue.complete.remote(self.name, index))
        else:
            ray.get(self.queue.give_back.remote(self.name, "another slot was first"))

    def _origin(self, index: int) -> Origin:
        """What a model of this audit is made of."""
        members = members_digest(self.member[:, index])
        return Origin(self.recipe.hash, model_seed(self.work.seed, index), self.work.data, members)

    def _trainer(self, index: int, origin: Origin) -> tuple[Trainer, str]:
        """A trainer that stands where the model's checkpoint says, or at the start with the reason why not there."""

        def new() -> Trainer:
            member, seed = np.ascontiguousarray(self.member[:, index]), origin.seed
            if isinstance(self.data, StreamedData):
                return StreamedTrainer(self.data, member, self.recipe, seed, self.share)
            if self.recipe.fit is not None:
                return OwnTrainer(self.data, member, self.recipe, seed)
            return Trainer(self.data, member, self.recipe, seed, self.share)

        trainer = new()
        saved, reason = self.models.load_checkpoint(index, origin)
        if saved is not None:
            try:
                trainer.load_state(saved)
            except (KeyError, RuntimeError, ValueError):  # an edited module:function, say
                return new(), f"model {index}: its checkpoint does not fit the model"  # the old one may be half loaded
        return trainer, reason

    def _save(self, fitted: Fitted, origin: Origin, index: int, attempt: int, started: float) -> None:
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in fitted.model.state_dict().items()}
        weights = safetensors.torch.save(tensors)
        record = ModelRecord(
            index=index,
            seed=origin.seed,
            weights=weights_path(index),
            sha256=sha256(weights),
            recipe=origin.recipe,
            train_accuracy=fitted.train_accuracy,
            test_accuracy=fitted.test_accuracy,
            train_loss=fitted.train_loss,
            test_loss=fitted.test_loss,
            seconds=fitted.seconds,
            attempts=attempt,
            node=ray.get_runtime_context().get_node_id(),
            started=started,
            finished=time.time(),
            data=origin.data,
            members=origin.members,
        )
        self.models.save(record, weights)


class Watch:
    """Asks the queue now and then, between two batches, whether to go on; keeps checkpoints."""

    def __init__(self, slot: TrainingSlot, index: int, origin: Origin, trainer: Trainer) -> None:
        self.slot, self.index, self.origin, self.trainer = slot, index, origin, trainer
        self.order, self.batches = "go on", 0
        self.asked = self.saved = time.monotonic()

    def go_on(self) -> bool:
        """Whether to train another batch."""
        self.batches += 1
        if self.slot.share.workers > 1:
            return self._go_on_together()
        if time.monotonic() - self.asked >= WATCH_SECONDS:
            self._ask()
        return self.order == "go on"

    def _go_on_together(self) -> bool:
        """All workers of a model must stop before the same batch."""
        if self.batches % BATCHES_BETWEEN_ORDERS:
            return True
        if self.slot.share.rank == 0 and time.monotonic() - self.asked >= WATCH_SECONDS:
            self._ask()
        go_on = torch.tensor(self.order == "go on", device=self.trainer.device).to(torch.int32)
        torch.distributed.broadcast(go_on, src=0)
        return bool(go_on)

    def _ask(self) -> None:
        slot = self.slot
        self.order = ray.get(slot.queue.watch.remote(slot.name, self.index, self.trainer.epoch))
        self.asked = time.monotonic()

    def after_epoch(self, trainer: Trainer) -> None:
        """Tell the queue, and save where the last checkpoint is long ago."""
        slot = self.slot
        if slot.share.rank > 0:
            return
        slot.queue.watch.remote(slot.name, self.index, trainer.epoch)
        if trainer.epoch < slot.recipe.epochs:
            self.keep()

    def keep(self) -> None:
        """Save a checkpoint where the last one is long ago."""
        slot = self.slot
        if time.monotonic() - self.saved >= slot.work.checkpoint_interval:
            try:
                slot.models.save_checkpoint(self.index, self.trainer.state(), self.origin)
            except StoreError as error:  # the model is not lost for that, only more of it if its worker is
                free = free_bytes(slot.store)
                if is_full_disk(error) and free is not None and free < size_of(self.trainer.model):
                    raise  # it could not be stored at its end
                slot.queue.say.remote(f"model {self.index} goes on without a checkpoint: {error}")
            self.saved = time.monotonic()
