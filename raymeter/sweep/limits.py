"""The limits of a setting, a smaller audit inside a finished one: fewer records, references, views or population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from raymeter.attacks.common.reference_units import first_units, unit_orders
from raymeter.errors import SignalError
from raymeter.schema.selection import select, select_matrix
from raymeter.schema.signals import SignalMatrix, Signals

LIMITS = ("references", "queries", "population")  # of a setting: how much of the signals it may use
Reference = Bool[np.ndarray, "targets models"]


@dataclass(frozen=True)
class Limits:
    """How much of the stored signals a setting may use; None is all.

    Args:
        references: Reference units (complementary pairs) per target.
        queries: The first so many views.
        population: So many population records, drawn by the sweep's seed.
        records: So many audited records, evenly spaced.
    """

    references: int | None = None
    queries: int | None = None
    population: int | None = None
    records: int | None = None


def restrict(signals: Signals, targets: Int64[np.ndarray, " chosen"], limits: Limits, seed: int) -> Signals:
    """The signals with some targets (positions), fewer references, views, population records or audited records.

    Raises:
        SignalError: More is asked for than there is.
    """
    chosen = select_matrix(signals.design, targets=targets)
    outside = next(iter(signals.population.values()))
    examples, _, views = chosen.values.shape
    _require_at_most("queries", limits.queries, views)
    _require_at_most("population", limits.population, len(outside.values))
    _require_at_most("records", limits.records, examples)
    return select(
        signals,
        records=_even_rows(examples, limits.records),
        targets=targets,
        references=None if limits.references is None else _fewer_references(chosen, limits.references, seed),
        views=limits.queries,
        population=_drawn_rows(len(outside.values), limits.population, seed),
    )


def most_references(signals: Signals, targets: Int64[np.ndarray, " chosen"] | None = None) -> int:
    """How many reference units each of some targets (positions; by default all) has at least."""
    orders = unit_orders(signals.design, seed=0)
    return min(len(orders[t]) for t in (range(len(orders)) if targets is None else targets))


def _fewer_references(matrix: SignalMatrix, count: int, seed: int) -> Reference:
    orders = unit_orders(matrix, seed)
    for order in orders:
        _require_at_most("references", count, len(order))
    return first_units(matrix, orders, count)


def _require_at_most(what: str, asked: int | None, there: int) -> None:
    if asked is not None and not 1 <= asked <= there:
        raise SignalError(f"{what}: {asked} asked for, the stored signals have {there}")


def _even_rows(size: int, count: int | None) -> Int64[np.ndarray, " rows"] | None:
    return None if count is None or count == size else np.linspace(0, size - 1, count).astype(np.int64)


def _drawn_rows(size: int, count: int | None, seed: int) -> Int64[np.ndarray, " rows"] | None:
    if count is None or count == size:
        return None
    return np.sort(np.random.default_rng(seed).permutation(size)[:count])


def rungs(records: int, fewest: int = 1000, factor: int = 4) -> Sequence[int]:
    """Growing numbers of records at which poor settings are given up: 1,000, 4,000, ... and all."""
    numbers = []
    while fewest < records:
        numbers.append(fewest)
        fewest *= factor
    return [*numbers, records]
