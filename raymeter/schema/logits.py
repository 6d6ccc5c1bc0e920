"""Logits -> logit gap, in NumPy, for formats and attacks; `signals.compute` has the same for a model on a device."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, Num


def logit_gap(
    logits: Num[np.ndarray, "*cells classes"], labels: Int[np.ndarray, "*cells"]
) -> Float[np.ndarray, "*cells"]:
    """True-class logit minus logsumexp of the other logits, in float64; higher means better fitted.

    It is log p - log(1 - p) of the true class's probability p, and keeps its digits where p is close to 0 or 1.

    Args:
        logits: Of every class, finite; of any type of number.
        labels: Class of each cell, in 0..classes - 1.

    References:
        Carlini et al., Membership Inference Attacks From First Principles, S&P 2022, section VI-A.

    Examples:
        >>> logit_gap(np.array([[2.0, 0.0]]), np.array([0])).tolist()
        [2.0]
    """
    others = logits.astype(np.float64)
    at_label = labels[..., None]
    true: np.ndarray = np.take_along_axis(others, at_label, axis=-1)[..., 0]
    np.put_along_axis(others, at_label, -np.inf, axis=-1)
    top = others.max(axis=-1)
    limit = np.finfo(np.float64).max
    with np.errstate(over="ignore"):  # logits next to float64's limits: a difference beyond them is the limit
        gap = true - (top + np.log(np.exp(others - top[..., None]).sum(axis=-1)))
    bounded: np.ndarray = np.clip(gap, -limit, limit)
    return bounded
