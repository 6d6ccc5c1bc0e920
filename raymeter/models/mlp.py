"""Multi-layer perceptron on flattened records."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import nn

HIDDEN = (512, 256, 128)


def mlp(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Three hidden layers of 512, 256 and 128 ReLU units; takes records of any shape."""
    sizes = (math.prod(input_shape), *HIDDEN)
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], num_classes))
