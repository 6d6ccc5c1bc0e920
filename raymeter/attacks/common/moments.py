"""Counts and moments over the references of every target at once, for any membership and reference masks.

Sums over a target's references are products with the reference mask, O(examples x models x targets)
in BLAS; values are centred per record first, so that small variances survive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from raymeter.schema.signals import SignalMatrix


@dataclass(frozen=True)
class Moments:
    """Number, mean and sum of squared deviations of each record's signals, over one side of a target's references."""

    count: Float[np.ndarray, "examples targets"]
    mean: Float[np.ndarray, "examples targets"]
    squares: Float[np.ndarray, "examples targets"]


def moments(
    values: Float[np.ndarray, "examples models"],
    side: Bool[np.ndarray, "examples models"],
    reference: Bool[np.ndarray, "targets models"],
) -> Moments:
    """Moments over the models that are on the given side of a record and references of the target.

    The mean is 0 where the count is 0.
    """
    weights = reference.T.astype(np.float64)
    inside = side.astype(np.float64)
    centre = values.mean(axis=1, keepdims=True)
    deviation = (values - centre) * inside
    count = inside @ weights
    total = deviation @ weights
    safe = np.maximum(count, 1)
    shift = total / safe
    squares = np.maximum(deviation**2 @ weights - total * shift, 0.0)
    return Moments(count, np.where(count > 0, centre + shift, 0.0), squares)


def reference_counts(
    side: Bool[np.ndarray, "examples models"], reference: Bool[np.ndarray, "targets models"]
) -> Float[np.ndarray, "examples targets"]:
    """How many of each target's references are on the given side of each record."""
    # float32 counts exactly up to 2**24 models, and is quicker
    with np.errstate(invalid="ignore"):  # BLAS has been seen to warn of a product of zeros and ones
        counts: np.ndarray = (side.astype(np.float32) @ reference.T.astype(np.float32)).astype(np.float64)
    return counts


def target_members(signals: SignalMatrix) -> Bool[np.ndarray, "examples targets"]:
    """Membership of each record in each target."""
    members: np.ndarray = signals.member[:, signals.targets]
    return members
