"""torchvision's ResNet-18, with the stem that small images need."""

from __future__ import annotations

import torch
from torch import nn

SMALL = 64  # below this many pixels a side the ImageNet stem would throw most of the image away


def resnet18(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """ResNet-18 (He et al., CVPR 2016); images below 64x64 get a 3x3 stem without pooling."""
    import torchvision  # slow to load, and few models need it

    model: nn.Module = torchvision.models.resnet18(num_classes=num_classes)
    channels, height, width = input_shape
    stem = None
    if min(height, width) < SMALL:
        stem = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    elif channels != 3:
        stem = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    if stem is not None:
        nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
        model.conv1 = stem
    return model.to(memory_format=torch.channels_last)
