"""Which references come first when a target is to have fewer: a seeded order per target, a pair at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64
from scipy.sparse.csgraph import connected_components

from raymeter.schema.signals import SignalMatrix, opposite_models


def unit_orders(matrix: SignalMatrix, seed: int) -> list[list[Int64[np.ndarray, " _unit"]]]:
    """For each target its reference units, in the order in which they are given to it."""
    unit = connected_components(opposite_models(matrix.member), directed=False)[1]
    orders = []
    for t, target in enumerate(matrix.targets):
        allowed = np.flatnonzero(matrix.reference[t])
        numbers = np.random.default_rng([seed, int(target)]).permutation(np.unique(unit[allowed]))
        orders.append([allowed[unit[allowed] == number] for number in numbers])
    return orders


def first_units(
    matrix: SignalMatrix, orders: Sequence[Sequence[Int64[np.ndarray, " _unit"]]], count: int
) -> Bool[np.ndarray, "targets models"]:
    """The reference mask that leaves every target the first units of its order."""
    reference = np.zeros_like(matrix.reference)
    for t, order in enumerate(orders):
        for unit in order[:count]:
            reference[t, unit] = True
    return reference
