"""What attacks demand of signals: their kind, a choice among names, references, a population."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from raymeter.attacks.common.blocks import blocks
from raymeter.attacks.common.moments import reference_counts
from raymeter.errors import MissingReferences, SignalError
from raymeter.schema.signals import SignalMatrix


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
            f"next to {signals.values.shape}"
        )
    if population.member.any():
        raise SignalError(
            f"{attack} needs a population that no model trained on, but record "
            f"{population.ids[population.member.any(axis=1)][0]} of it has a member; set its member to False"
        )
