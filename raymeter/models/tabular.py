"""A network for tables: it fills gaps and brings columns to one scale, as its own members show them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

HIDDEN = (256, 128)


class Standardise(nn.Module):
    """Features with their gaps filled by the median and brought to mean 0 and deviation 1.

    All three are learnt from the members of the model that this is a layer of, and from nobody else: of all records
    they would tell each model something of its non-members. They are buffers, so that they are stored with the model.

    Args:
        features: How many there are.
    """

    median: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        for name, value in (("median", 0.0), ("mean", 0.0), ("scale", 1.0)):
            self.register_buffer(name, torch.full((features,), value))

    @torch.no_grad()
    def learn(self, members: Tensor) -> None:
        """Take median, mean and deviation from records [members, features], NaN where there is a gap."""
        median = members.nanmedian(dim=0).values.nan_to_num(nan=0.0)  # a column without any value
        filled = torch.where(members.isnan(), median, members).double()
        scale = filled.std(dim=0, unbiased=False)
        self.median.copy_(median)
        self.mean.copy_(filled.mean(dim=0))
        self.scale.copy_(torch.where(scale > 0, scale, torch.ones_like(scale)))

    def forward(self, x: Tensor) -> Tensor:
        """Records [batch, features] without gaps, on one scale."""
        return (torch.where(x.isnan(), self.median, x) - self.mean) / self.scale


def tabular(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Standardise, then two hidden layers of 256 and 128 ReLU units."""
    features = math.prod(input_shape)
    sizes = (features, *HIDDEN)
    layers: list[nn.Module] = [nn.Flatten(), Standardise(features)]
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], num_classes))


def fills_gaps(model: nn.Module) -> bool:
    """Whether a model has a layer that fills gaps."""
    return any(isinstance(layer, Standardise) for layer in model.modules())


def learn_from_members(model: nn.Module, members: Tensor) -> None:
    """Have every Standardise layer of a model learn from its members, [members, features]."""
    for layer in model.modules():
        if isinstance(layer, Standardise):
            layer.learn(members.reshape(len(members), -1))
