"""The table of architectures, and how a model is built by its name or by the user's own function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from raymeter.config.messages import suggest_and_list
from raymeter.config.user_functions import load_function
from raymeter.errors import ConfigError, exit_refused, type_and_line
from raymeter.models.alexnet import alexnet
from raymeter.models.cnn import cnn
from raymeter.models.mlp import mlp
from raymeter.models.resnet import resnet18
from raymeter.models.tabular import tabular
from raymeter.models.vgg import vgg16
from raymeter.models.wide_resnet import wide_resnet28

Builder = Callable[[tuple[int, ...], int], nn.Module]


@dataclass(frozen=True)
class Architecture:
    """How to build a model, and the smallest image side it takes (None: records of any shape)."""

    build: Builder
    min_side: int | None


MODELS: dict[str, Architecture] = {
    "mlp": Architecture(mlp, None),
    "tabular": Architecture(tabular, None),
    "cnn": Architecture(cnn, 4),
    "alexnet": Architecture(alexnet, 8),
    "vgg16": Architecture(vgg16, 8),
    "resnet18": Architecture(resnet18, 8),
    "wrn28-1": Architecture(partial(wide_resnet28, 1), 4),
    "wrn28-2": Architecture(partial(wide_resnet28, 2), 4),
    "wrn28-10": Architecture(partial(wide_resnet28, 10), 4),
}


def build_model(name: str, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """A freshly initialised model; weights come from torch's global generator, which the caller seeds.

    Args:
        name: A name from MODELS (upper case is accepted), or `module:function`, which is called with
            (input_shape, num_classes) and returns a torch module.
        input_shape: Shape of one record: (channels, height, width) for images, (features,) otherwise.
        num_classes: Number of logits.

    Raises:
        ConfigError: The name is unknown, the function cannot be used, or the records do not fit.
    """
    if ":" in name:
        return _build_custom(name, input_shape, num_classes)
    architecture = MODELS.get(name.lower())
    if architecture is None:
        known = suggest_and_list(name.lower(), MODELS)
        raise ConfigError(f"train.model_name: unknown model {name!r}; {known}, or module:function")
    _check_shape(name, architecture.min_side, tuple(input_shape))
    return architecture.build(tuple(input_shape), num_classes)


def weights_bytes(name: str, input_shape: tuple[int, ...], num_classes: int) -> int:
    """Bytes of a model's weights; of raymeter's own models without making them.

    Raises:
        ConfigError: As `build_model`.
    """
    with torch.random.fork_rng(devices=[]), torch.device("cpu" if ":" in name else "meta"):
        return size_of(build_model(name, input_shape, num_classes))


def size_of(model: nn.Module) -> int:
    """Bytes of a model's weights."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def _check_shape(name: str, min_side: int | None, shape: tuple[int, ...]) -> None:
    if min_side is None:
        return
    if len(shape) != 3:
        raise ConfigError(f"train.model_name: {name} needs images, and records have shape {shape}; use tabular or mlp")
    if min(shape[1:]) < min_side:
        other = "cnn, wrn28-2 or mlp" if min(shape[1:]) >= 4 else "mlp"
        raise ConfigError(
            f"train.model_name: {name} needs images of at least {min_side}x{min_side}, got {shape[1]}x{shape[2]}; "
            f"use {other}"
        )


def _build_custom(name: str, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    builder = load_function("train.model_name", name, "that builds a model")
    try:
        with exit_refused(ConfigError, f"train.model_name: {name}"):
            model = builder(tuple(input_shape), num_classes)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"train.model_name: {name} raised {type_and_line(error)}; it is called with (input_shape, num_classes) = "
            f"({tuple(input_shape)}, {num_classes})"
        ) from error
    if not isinstance(model, nn.Module):
        raise ConfigError(f"train.model_name: {name} returned {type(model).__name__}; return a torch.nn.Module")
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        raise ConfigError(f"train.model_name: {name} has lazy layers; give them their sizes, from {tuple(input_shape)}")
    return model
