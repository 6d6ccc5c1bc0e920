"""WideResNet of depth 28 (Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016, arXiv:1605.07146)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCKS_PER_GROUP = 4  # depth 28 = 6 * 4 + 4


class _Block(nn.Module):
    """Two pre-activated 3x3 convolutions with a shortcut, which is 1x1 where shapes differ."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        same = channels_in == channels_out and stride == 1
        self.shortcut = None if same else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        residual = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = residual + self.conv2(F.relu(self.norm2(self.conv1(active))))
        return out


def wide_resnet28(widen: int, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """WRN-28-k without dropout; the head averages over what is left of the image, so any size from 4x4 works."""
    widths = [16, 16 * widen, 32 * widen, 64 * widen]
    layers: list[nn.Module] = [nn.Conv2d(input_shape[0], widths[0], 3, padding=1, bias=False)]
    for group in range(3):
        for block in range(BLOCKS_PER_GROUP):
            channels_in = widths[group] if block == 0 else widths[group + 1]
            stride = 2 if block == 0 and group > 0 else 1
            layers.append(_Block(channels_in, widths[group + 1], stride))
    head = [nn.BatchNorm2d(widths[3]), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*layers, *head, nn.Linear(widths[3], num_classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model.to(memory_format=torch.channels_last)
