"""Records -> what a model takes: tensors, normalised; convolutions that repeat their bits."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor


def as_tensor(array: np.ndarray) -> Tensor:
    """View an array as a tensor without a copy, also when it is read-only (nothing here writes to it)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def exact_convolutions(tf32: bool) -> AbstractContextManager[None]:
    """On a GPU: the same bits every time, which cuDNN otherwise does not promise; no change on a CPU.

    Args:
        tf32: Whether convolutions may round their float32 inputs to 10 bits of mantissa, as torch lets them.
    """
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=tf32)


def normalise(x: Tensor) -> Tensor:
    """Map uint8 images to [-1, 1]; other records are used as they are, in float32."""
    if x.dtype == torch.uint8:
        return x.to(torch.float32).div_(127.5).sub_(1.0)
    return x.to(torch.float32)
