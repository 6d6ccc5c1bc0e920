"""torchvision's AlexNet for large images, the usual reduced one for small images."""

from __future__ import annotations

from torch import nn

LARGE = 64  # torchvision's features need at least 63 pixels a side


def alexnet(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """AlexNet (Krizhevsky et al., NIPS 2012); below 64x64 the first layers keep the resolution, from 8x8."""
    channels, height, width = input_shape
    if min(height, width) >= LARGE:
        import torchvision  # slow to load, and few models need it

        model: nn.Module = torchvision.models.alexnet(num_classes=num_classes)
        if channels != 3:
            model.features = nn.Sequential(nn.Conv2d(channels, 64, 11, stride=4, padding=2), *list(model.features)[1:])  # type: ignore[arg-type]
        return model
    layers: list[nn.Module] = []
    plan = ((channels, 64, True), (64, 192, True), (192, 384, False), (384, 256, False), (256, 256, True))
    for channels_in, channels_out, pool in plan:
        layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.ReLU()]
        if pool:
            layers.append(nn.MaxPool2d(2))
    width_out = 256 * (height // 8) * (width // 8)
    head = [nn.Flatten(), nn.Dropout(), nn.Linear(width_out, 512), nn.ReLU(), nn.Dropout(), nn.Linear(512, num_classes)]
    return nn.Sequential(*layers, *head)
