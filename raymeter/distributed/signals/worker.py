"""The signal actor: holds some models and computes the signals of one block of records after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from raymeter.distributed.device import device_of_worker
from raymeter.errors import SignalError, exit_refused
from raymeter.models import build_model
from raymeter.schema.model_record import ModelRecord
from raymeter.schema.signals import View
from raymeter.signals.compute import compute_signals
from raymeter.storage.model_store import ModelStore
from raymeter.storage.run_store import RunStore

MODEL_MEMORY = 4 * 2**30  # bytes of weights that one actor keeps loaded; the rest is loaded for every block


@dataclass(frozen=True)
class SignalWork:
    """What a signal actor needs besides the records."""

    store: RunStore
    models: tuple[ModelRecord, ...]
    architectures: tuple[str, ...]
    input_shape: tuple[int, ...]
    num_classes: int
    views: tuple[View, ...]
    threads: int
    keep_logits: bool
    block: int


class SignalActor:
    """Holds models and computes their signals block by block."""

    def __init__(self, work: SignalWork) -> None:
        torch.set_num_threads(work.threads)
        self.work = work
        self.device = device_of_worker()
        self.loaded: list[nn.Module] = []
        size = 0
        for position in range(len(work.models)):
            model = self._load(position)
            size += sum(tensor.nbytes for tensor in model.state_dict().values())
            if size > MODEL_MEMORY:
                break
            self.loaded.append(model)

    def _load(self, position: int) -> nn.Module:
        work = self.work
        model = build_model(work.architectures[position], work.input_shape, work.num_classes)
        model.load_state_dict(ModelStore(work.store).read_weights(work.models[position]))
        return model.to(self.device).eval()

    def _models(self) -> Iterator[nn.Module]:
        yield from self.loaded
        for position in range(len(self.loaded), len(self.work.models)):
            yield self._load(position)

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Signals of a batch, by blocks of a fixed size, so that the bits do not depend on how records were read."""
        work = self.work
        for start in range(0, len(batch["y"]), work.block):
            block = {name: values[start : start + work.block] for name, values in batch.items()}
            with exit_refused(SignalError, f"a model of {', '.join(dict.fromkeys(work.architectures))}"):
                signals = compute_signals(
                    self._models(), block["x"], block["y"], work.views, self.device, work.keep_logits
                )
            rows = np.moveaxis(signals.values, 0, 1)  # [records, kinds, models, queries]
            logits = {} if signals.logits is None else {"logits": signals.logits}
            yield {"row": block["row"], "signals": np.ascontiguousarray(rows), **logits}
