"""torchvision's VGG-16 with batch normalisation, with a head for small images."""

from __future__ import annotations

import math

from torch import nn


def vgg16(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """VGG-16 (Simonyan and Zisserman, ICLR 2015) with batch normalisation, from 8x8.

    The layers are torchvision's vgg16_bn.features. The classifier is one hidden layer of 512 units on
    globally averaged features, as is usual for 32x32 images; torchvision's three layers of 4096 units
    are made for 224x224. Below 32x32 the last poolings, which would leave nothing, are dropped.
    """
    from torchvision.models.vgg import cfgs, make_layers  # slow to load, and few models need it

    poolings = int(math.log2(min(input_shape[1:])))
    layers: list[nn.Module] = []
    for layer in make_layers(cfgs["D"], batch_norm=True):
        if isinstance(layer, nn.MaxPool2d):
            poolings -= 1
            if poolings < 0:
                continue
        layers.append(layer)
    if input_shape[0] != 3:
        layers[0] = nn.Conv2d(input_shape[0], 64, 3, padding=1)
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 512), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(nn.Sequential(*layers), *head, nn.Linear(512, num_classes))
