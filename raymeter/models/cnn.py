"""A small convolutional network that trains quickly on one CPU core."""

from __future__ import annotations

import torch
from torch import nn


def cnn(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Two 3x3 convolutions (16 and 32 channels), each pooled by 2, then 128 hidden units; images from 4x4."""
    features = nn.Sequential(
        nn.Conv2d(input_shape[0], 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )
    width = 32 * (input_shape[1] // 4) * (input_shape[2] // 4)
    head = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, num_classes))
    model = nn.Sequential(features, head)
    return model.to(memory_format=torch.channels_last)
