"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from raymeter.schema.recipe import Recipe

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # torch's defaults for Adam and AdamW


def learning_rate_at(recipe: Recipe, progress: float) -> float:
    """Learning rate after the given share of all steps, in [0, 1): linear warm-up, then cos(7 pi t / 16).

    The cosine is FixMatch's, used by Carlini et al. (S&P 2022); it ends at 0.195 of the peak.
    """
    if progress < recipe.warmup:
        return recipe.learning_rate * progress / recipe.warmup
    if recipe.schedule == "constant":
        return recipe.learning_rate
    return recipe.learning_rate * math.cos(7 * math.pi * progress / 16)


class Optimizer:
    """A step of SGD, Adam or AdamW over all parameters of a model at once, to the bits of torch.optim.

    torch's own classes load its compiler when they are made, a second and a half that every worker would pay. State is
    named as theirs is: `momentum_buffer`, or `step`, `exp_avg` and `exp_avg_sq`, by the position of a parameter.

    Args:
        parameters: Of the model; those without a gradient are passed over, step by step.
        recipe: The optimizer's name and settings.

    References:
        Kingma and Ba, Adam, ICLR 2015; Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], recipe: Recipe) -> None:
        self.parameters, self.recipe = list(parameters), recipe
        self.state: dict[int, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the parameters against their gradients."""
        at = [index for index, parameter in enumerate(self.parameters) if parameter.grad is not None]
        if not at:
            return
        parameters: list[Tensor] = [self.parameters[index] for index in at]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if self.recipe.optimizer == "SGD":
            self._sgd(at, parameters, gradients, learning_rate)
        else:
            self._adam(at, parameters, gradients, learning_rate)

    def _sgd(self, at: list[int], parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None:
        recipe = self.recipe
        if recipe.weight_decay:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=recipe.weight_decay))
        if recipe.momentum:
            known = [(index, gradient) for index, gradient in zip(at, gradients, strict=True) if index in self.state]
            if known:
                buffers = [self.state[index]["momentum_buffer"] for index, _ in known]
                torch._foreach_mul_(buffers, recipe.momentum)
                torch._foreach_add_(buffers, [gradient for _, gradient in known])
            for index, gradient in zip(at, gradients, strict=True):
                if index not in self.state:
                    self.state[index] = {"momentum_buffer": gradient.detach().clone()}
            gradients = [self.state[index]["momentum_buffer"] for index in at]
        torch._foreach_add_(parameters, gradients, alpha=-rate)

    def _adam(self, at: list[int], parameters: list[Tensor], gradients: list[Tensor], rate: float) -> None:
        recipe = self.recipe
        for index, parameter in zip(at, parameters, strict=True):
            if index not in self.state:
                empty = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                self.state[index] = {"step": torch.tensor(0.0), **empty}
        states = [self.state[index] for index in at]
        if recipe.weight_decay and recipe.optimizer == "AdamW":
            torch._foreach_mul_(parameters, 1 - rate * recipe.weight_decay)
        elif recipe.weight_decay:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=recipe.weight_decay))
        means, squares = [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states]
        parameters, gradients, means, squares = map(_as_real, (parameters, gradients, means, squares))
        steps = [float(state["step"].add_(1)) for state in states]
        torch._foreach_lerp_(means, gradients, 1 - BETA_1)
        torch._foreach_mul_(squares, BETA_2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - BETA_2)
        scale = list(torch._foreach_sqrt(squares))
        torch._foreach_div_(scale, [(1 - BETA_2**step) ** 0.5 for step in steps])
        torch._foreach_add_(scale, EPSILON)
        torch._foreach_addcdiv_(parameters, means, scale, [-(rate / (1 - BETA_1**step)) for step in steps])

    def load_state(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Go on from a state that `state` had.

        Raises:
            KeyError, RuntimeError: It is of other parameters, or of another optimizer.
        """
        wanted = {"momentum_buffer"} if self.recipe.optimizer == "SGD" else {"step", "exp_avg", "exp_avg_sq"}
        loaded: dict[int, dict[str, Tensor]] = {}
        for index, slots in state.items():
            parameter = self.parameters[index] if index < len(self.parameters) else None
            if parameter is None or set(slots) != wanted:
                raise RuntimeError("the state is of another optimizer or model")
            for name, value in slots.items():
                if name != "step" and value.shape != parameter.shape:
                    raise RuntimeError(f"{name} has shape {list(value.shape)}, its parameter {list(parameter.shape)}")
            loaded[index] = {
                name: value.clone() if name == "step" else value.to(parameter.device, parameter.dtype, copy=True)
                for name, value in slots.items()
            }
        self.state = loaded


def _as_real(tensors: list[Tensor]) -> list[Tensor]:
    return [torch.view_as_real(tensor) if tensor.is_complex() else tensor for tensor in tensors]
