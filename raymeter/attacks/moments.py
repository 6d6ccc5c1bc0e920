"""Counts and moments over the references of every target at once, for any membership and reference masks.

Sums over a target's references are products with the reference mask, O(examples x models x targets)
in BLAS; values are centred per record first, so that small variances survive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from jaxtyping import Bool, Float

from raymeter.errors import MissingReferences, SignalError
from raymeter.schema import SignalMatrix

BLOCK_CELLS = 131_072  # examples x models handled at once: bounds the memory beside the signals


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
    counts: np.ndarray = (side.astype(np.float32) @ reference.T.astype(np.float32)).astype(np.float64)
    return counts


def require_kind(signals: SignalMatrix, kind: str, attack: str) -> None:
    """Refuse signals of another kind.

    Raises:
        SignalError: Names the attack, the kind it needs and the kind it got.
    """
    if signals.kind != kind:
        raise SignalError(f"{attack} needs signals of kind {kind}, got {signals.kind}")


def require_choice(name: str, value: object, choices: Any) -> None:
    """Refuse a value that is not one of a Literal's, so that a misspelt mode never means another one.

    Raises:
        ValueError: Names the setting, what it may be and what it got.
    """
    if value not in get_args(choices):
        raise ValueError(f"{name} must be one of {', '.join(get_args(choices))}, got {value}")


def require_references(
    signals: SignalMatrix, side: str, at_least: int, attack: str, remedy: str = "train more models"
) -> None:
    """Check that every record has enough references on one side ("in" or "out") of every target.

    Raises:
        MissingReferences: Names the first record and target that lack them, and what to do.
    """
    mask = signals.member if side == "in" else ~signals.member
    for rows in blocks(signals):
        count = reference_counts(mask[rows], signals.reference)
        if (count < at_least).any():
            record, target = (int(i) for i in np.argwhere(count < at_least)[0])
            raise MissingReferences(
                f"{attack}: record {signals.ids[rows][record]} has {int(count[record, target])} references that are "
                f"{side.upper()} when model {signals.targets[target]} is attacked, {at_least} needed; {remedy}"
            )


def require_population(signals: SignalMatrix, population: SignalMatrix, attack: str) -> None:
    """Refuse a population of another kind, of other models or queries, empty, or with members in it.

    Raises:
        SignalError: Names the attack and what is wrong.
    """
    require_kind(population, signals.kind, f"{attack} (population)")
    if not len(population.values):
        raise SignalError(f"{attack} needs a population, records that no model was trained on, and there is none")
    if population.values.shape[1:] != signals.values.shape[1:]:
        raise SignalError(
            f"{attack} needs a population under the same models and queries, got {population.values.shape} "
            f"beside {signals.values.shape}"
        )
    if population.member.any():
        raise SignalError(
            f"{attack} needs a population that no model trained on, but record "
            f"{population.ids[population.member.any(axis=1)][0]} of it has a member; set its member to False"
        )


def blocks(signals: SignalMatrix) -> Iterator[slice]:
    """Ranges of records small enough to work on at once."""
    examples, models, _ = signals.values.shape
    step = max(1, BLOCK_CELLS // max(models, len(signals.targets)))
    return (slice(start, min(start + step, examples)) for start in range(0, examples, step))


def target_members(signals: SignalMatrix) -> Bool[np.ndarray, "examples targets"]:
    """Membership of each record in each target."""
    members: np.ndarray = signals.member[:, signals.targets]
    return members
