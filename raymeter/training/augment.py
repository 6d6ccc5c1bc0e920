"""Augmentation of a batch of images on its device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raymeter.schema.recipe import Augment

CROP_PADDING = 4


def augment_batch(x: Tensor, augment: Augment, generator: torch.Generator) -> Tensor:
    """Mirror half of the images, and for `mirror_crop` shift each by up to 4 pixels of reflected padding."""
    if augment == "none":
        return x
    n, _, height, width = x.shape
    flip = torch.rand(n, generator=generator).lt(0.5).to(x.device)
    x = torch.where(flip[:, None, None, None], x.flip(-1), x)
    if augment == "mirror":
        return x
    padded = F.pad(x, (CROP_PADDING,) * 4, mode="reflect")
    top = torch.randint(2 * CROP_PADDING + 1, (n, 1), generator=generator).to(x.device)
    left = torch.randint(2 * CROP_PADDING + 1, (n, 1), generator=generator).to(x.device)
    rows = (top + torch.arange(height, device=x.device))[:, None, :, None]
    columns = (left + torch.arange(width, device=x.device))[:, None, None, :]
    image = torch.arange(n, device=x.device)[:, None, None, None]
    channel = torch.arange(x.shape[1], device=x.device)[None, :, None, None]
    return padded[image, channel, rows, columns]
