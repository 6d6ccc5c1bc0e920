"""A target that was trained elsewhere: its weights, checked and brought into the run directory.

Nothing here unpickles: torch files are read with weights_only.
"""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from raymeter.config.sections import WeightsTarget
from raymeter.errors import ConfigError, DataError, exit_refused, first_line
from raymeter.models import build_model
from raymeter.models.inputs import as_tensor, normalise
from raymeter.models.outputs import wrong_output
from raymeter.schema.array_files import refuse_bomb
from raymeter.schema.dataset import Dataset, some_records
from raymeter.schema.model_record import ModelRecord
from raymeter.schema.reporter import Reporter
from raymeter.schema.split import Split
from raymeter.signals.targets.protocol import AnswerColumns, Part, accuracy_line, as_model, is_member
from raymeter.signals.targets.weight_names import match_names
from raymeter.storage.addresses import shown
from raymeter.storage.local_files import sha256
from raymeter.storage.run_store import RunStore
from raymeter.storage.user_files import content_of

WEIGHTS = "target/weights.safetensors"
NESTED = ("state_dict", "model_state_dict", "model", "module")  # where scripts keep the weights next to other things
LOOKED_AT = 200  # members, and as many others, on which the target's accuracy is reported
WEIGHTS_KEY = "audit.target.weights"


def load_weights(path: str) -> dict[str, Tensor]:
    """The state dict in a .safetensors file, or in one that torch.save wrote.

    Raises:
        DataError: It cannot be read, or holds anything but tensors by name.
    """
    data, name = content_of(path, WEIGHTS_KEY), f"{WEIGHTS_KEY}: {shown(path)}"
    way_out = "save the weights alone, with torch.save(model.state_dict(), path) or safetensors"
    try:
        if PurePosixPath(shown(path)).suffix.lower() == ".safetensors":
            content: Any = safetensors.torch.load(data)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of how it was pickled; what cannot be read is an error
                refuse_bomb(io.BytesIO(data))
                content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged stream can fail in any way
        if isinstance(error, pickle.UnpicklingError):  # torch's text would have the user read it unsafely
            raise DataError(f"{name} is no file of weights alone, and nothing is unpickled; {way_out}") from None
        reason = first_line(error, "")[:100] or "it is empty"
        raise DataError(f"{name} holds no weights that can be read ({reason}); {way_out}") from None
    for nested in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(nested), Mapping):
            content = content[nested]
            break
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(value, Tensor) for value in content.values())
    ):
        raise DataError(f"{name} holds {type(content).__name__}, not tensors by name; {way_out}")
    return {str(key): value for key, value in content.items()}


class KnownWeights:
    """A target whose weights are known: a column of the audit like any other model.

    Args:
        given: Where its weights are, and what builds it.
        model_name: What builds it where that does not say.
        dataset: The records.
        split: Which of them are audited, and the target as its last model.
        store: The run directory, which gets a copy of the weights.
    """

    def __init__(self, given: WeightsTarget, model_name: str, dataset: Dataset, split: Split, store: RunStore) -> None:
        self.path, self.dataset, self.split, self.store = given.weights, dataset, split, store
        self.architecture = given.model or model_name
        self.key = "train.model_name" if given.model is None else "audit.target.model"
        self.about: dict[str, Any] = {"weights": shown(self.path), "model": self.architecture}

    def check(self, reporter: Reporter) -> None:
        """See that the weights fit the model, and report how accurate the target is.

        Raises:
            DataError: The weights cannot be read, are of another model, or give logits that are not finite.
            ConfigError: The model cannot be built, or gives something else than a logit per class.
        """
        self._content(reporter)

    def prepare(self, reporter: Reporter) -> None:
        """Check, and copy the weights into the run directory.

        Raises:
            DataError, ConfigError: As `check`.
        """
        content = self._content(reporter)
        if self.store.read(WEIGHTS) != content:
            self.store.write(WEIGHTS, content)

    def answer(self, parts: Sequence[Part], reporter: Reporter) -> tuple[ModelRecord, AnswerColumns]:
        """The target as a model of this audit, which loads its weights as it does those of others."""
        record = as_model(self.split, self.about, weights=WEIGHTS, architecture=self.architecture)
        return record, {}

    def _content(self, reporter: Reporter) -> bytes:
        """The weights as they are stored."""
        model = self._model(load_weights(self.path), reporter)
        tensors = {name: value.detach().contiguous().clone() for name, value in model.state_dict().items()}
        content, correct = safetensors.torch.save(tensors), self._correct(model.eval())
        self.about |= {"sha256": sha256(content), "accuracy": correct}
        reporter.note(accuracy_line(correct, self.dataset.num_classes))
        return content

    def _model(self, weights: Mapping[str, Tensor], reporter: Reporter) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            try:
                model = build_model(self.architecture, self.dataset.x.shape[1:], self.dataset.num_classes)
            except ConfigError as error:
                raise ConfigError(f"{self.key}: {str(error).removeprefix('train.model_name: ')}") from None
        wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        named = match_names(weights, wanted, f"{WEIGHTS_KEY}: {shown(self.path)}", self.architecture)
        if named.note:
            reporter.note(f"{WEIGHTS_KEY}: {named.note}")
        model.load_state_dict(dict(named.weights))
        return model

    @torch.inference_mode()
    def _correct(self, model: nn.Module) -> dict[str, float]:
        """The share of some audited members, and of some others, whose class the target finds."""
        member, correct = is_member(self.split), {}
        for name, side in (("members", member), ("others", ~member)):
            rows = _spread_out(self.split.audit_ids[side])
            x = some_records(self.dataset.x, rows, None)
            try:
                with exit_refused(ConfigError, f"{self.key}: {self.architecture}"):
                    logits = model(normalise(as_tensor(np.asarray(x))))
            except ConfigError:
                raise
            except Exception as error:  # the user's model can fail in any way
                raise ConfigError(f"{self.key}: {self.architecture} fails on the audited records ({error})") from None
            if wrong := wrong_output(logits, len(rows), self.dataset.num_classes):
                raise ConfigError(f"{self.key}: {self.architecture} {wrong}")
            if not torch.isfinite(logits).all():
                raise DataError(
                    f"{WEIGHTS_KEY}: {shown(self.path)} gives logits that are not finite; did its training diverge?"
                )
            correct[name] = float((logits.argmax(dim=1).numpy() == self.dataset.y[rows]).mean())
        return correct


def _spread_out(ids: Int64[np.ndarray, " some"]) -> Int64[np.ndarray, " few"]:
    """At most LOOKED_AT of them, evenly spaced."""
    return ids[np.unique(np.linspace(0, len(ids) - 1, min(LOOKED_AT, len(ids))).astype(np.int64))]
