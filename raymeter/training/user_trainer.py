"""The user's own training function in the place of raymeter's: `train.fit: module:function`.

    def fit(model, x, y): ...

is called with a freshly initialised model, the records of its half (normalised as the audit will show them to it, on
the device that trains) and their classes; it trains the model in place, or returns it. What else it wants it asks for
by name:

    seed        this model's own number; torch's global generator is seeded with it already
    settings    the train section as a dict: epochs, batch_size, learning_rate, ...
    go_on       a function to ask between batches: False means that the worker is called back, so return
    save        a function that keeps a dict of tensors, from which a restarted worker may go on
    saved       what was kept by an earlier attempt at this model, or None
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from raymeter.config.user_functions import load_function
from raymeter.errors import ConfigError, SignalError, exit_refused
from raymeter.models.inputs import normalise
from raymeter.training.trainer import Trainer

EXTRAS = ("seed", "settings", "go_on", "save", "saved")
PREFIX = "own."


def load_fit(name: str) -> Callable[..., Any]:
    """The function that `train.fit` names.

    Raises:
        ConfigError: It cannot be loaded, is no function, or wants something that there is not.
    """
    function = load_function("train.fit", name, "fit(model, x, y)")
    _wanted(function, name)
    return function


def _wanted(function: Callable[..., Any], name: str) -> list[str]:
    """Which of EXTRAS a function asks for."""
    parameters = list(inspect.signature(function).parameters.values())
    if any(param.kind is param.VAR_KEYWORD for param in parameters):
        return list(EXTRAS)
    positional = [param for param in parameters if param.kind in (param.POSITIONAL_ONLY, param.POSITIONAL_OR_KEYWORD)]
    others = [param for param in parameters if param not in positional[:3] and param.kind is not param.VAR_POSITIONAL]
    unknown = [param.name for param in others if param.name not in EXTRAS and param.default is param.empty]
    if len(positional) < 3 or unknown:
        problem = f"wants {unknown[0]!r}" if unknown else "does not take a model, x and y"
        raise ConfigError(
            f"train.fit: {name} {problem}; write fit(model, x, y), and by name any of {', '.join(EXTRAS)}"
        )
    return [param.name for param in others if param.name in EXTRAS]


class OwnTrainer(Trainer):
    """A trainer whose only epoch is the user's function."""

    after_save: Callable[[], None] = staticmethod(lambda: None)
    _kept: dict[str, Tensor] | None = None

    def train_epoch(self, go_on: Callable[[], bool] = lambda: True) -> bool:
        """Run the function.

        Returns:
            Whether it ran to its end: not so where `go_on` said no, whatever it did then.

        Raises:
            SignalError: It returned something else than such a model.
        """
        assert self.recipe.fit is not None
        function, stopped = load_fit(self.recipe.fit), False

        def asked() -> bool:
            nonlocal stopped
            stopped = stopped or not go_on()
            return not stopped

        extras = {
            "seed": self.seed,
            "settings": asdict(self.recipe),
            "go_on": asked,
            "save": self._keep,
            "saved": self._kept,
        }
        x, y = normalise(self.data.x[self._ids.to(self.device)]), self.data.y[self._ids.to(self.device)]
        self.model.train()
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(self.seed % 2**63)
            with exit_refused(SignalError, f"train.fit: {self.recipe.fit}"):
                wanted = {name: extras[name] for name in _wanted(function, self.recipe.fit)}
                returned = function(self.model, x, y, **wanted)
        if stopped:
            return False
        self.model = self._checked(self.model if returned is None else returned)
        self.epoch = self.recipe.epochs
        return True

    def state(self) -> dict[str, Tensor]:
        """What the function has kept last."""
        kept = {f"{PREFIX}{name}": value for name, value in (self._kept or {}).items()}
        return {**kept, "epoch": torch.tensor(0)}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Hand back what was kept."""
        self._kept = {n.removeprefix(PREFIX): value for n, value in tensors.items() if n.startswith(PREFIX)} or None

    def _keep(self, tensors: Mapping[str, Tensor]) -> None:
        self._kept = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
        self.after_save()

    def _checked(self, model: Any) -> nn.Module:
        name = self.recipe.fit
        if not isinstance(model, nn.Module):
            raise SignalError(
                f"train.fit: {name} returned {type(model).__name__}; return the trained model, or nothing"
            )
        expected = {key: value.shape for key, value in self.model.state_dict().items()}
        if {key: value.shape for key, value in model.state_dict().items()} != expected:
            raise SignalError(
                f"train.fit: {name} returned a model with other weights than {self.recipe.model} has; name "
                "the function that builds it as train.model"
            )
        return model.to(self.device)
