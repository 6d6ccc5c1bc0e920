"""A smaller audit inside a finished one: fewer records, references, views or population."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

from raymeter.attacks.common.reference_units import first_units, unit_orders
from raymeter.errors import SignalError
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
    matrix = next(iter(signals.audit.values()))
    apart, reference = matrix.may_not_judge(), matrix.reference[targets]
    chosen = replace(matrix, reference=reference, targets=matrix.targets[targets], apart=apart)
    if limits.references is not None:
        reference = _fewer_references(chosen, limits.references, seed)
    outside = next(iter(signals.population.values()))
    _at_most("queries", limits.queries, matrix.values.shape[2])
    _at_most("population", limits.population, len(outside.values))
    _at_most("records", limits.records, len(matrix.values))
    rows = _evenly(len(matrix.values), limits.records)
    drawn = _drawn(len(outside.values), limits.population, seed)

    def cut(found: SignalMatrix, some: Int64[np.ndarray, " rows"] | None) -> SignalMatrix:
        part: Int64[np.ndarray, " rows"] | slice = slice(None) if some is None else some
        return replace(
            found,
            values=found.values[part, :, : limits.queries],
            member=found.member[part],
            ids=found.ids[part],
            labels=None if found.labels is None else found.labels[part],
            reference=reference,
            targets=chosen.targets,
            apart=apart,
        )

    def cut_logits(found: np.ndarray | None, some: Int64[np.ndarray, " rows"] | None) -> np.ndarray | None:
        return None if found is None else found[slice(None) if some is None else some, :, : limits.queries]

    return Signals(
        audit={kind: cut(found, rows) for kind, found in signals.audit.items()},
        population={kind: cut(found, drawn) for kind, found in signals.population.items()},
        audit_logits=cut_logits(signals.audit_logits, rows),
        population_logits=cut_logits(signals.population_logits, drawn),
    )


def most_references(signals: Signals, targets: Int64[np.ndarray, " chosen"] | None = None) -> int:
    """How many reference units each of some targets (positions; by default all) has at least."""
    orders = unit_orders(next(iter(signals.audit.values())), seed=0)
    return min(len(orders[t]) for t in (range(len(orders)) if targets is None else targets))


def _fewer_references(matrix: SignalMatrix, count: int, seed: int) -> Reference:
    orders = unit_orders(matrix, seed)
    for order in orders:
        _at_most("references", count, len(order))
    return first_units(matrix, orders, count)


def _at_most(what: str, asked: int | None, there: int) -> None:
    if asked is not None and not 1 <= asked <= there:
        raise SignalError(f"{what}: {asked} asked for, the stored signals have {there}")


def _evenly(size: int, count: int | None) -> Int64[np.ndarray, " rows"] | None:
    return None if count is None or count == size else np.linspace(0, size - 1, count).astype(np.int64)


def _drawn(size: int, count: int | None, seed: int) -> Int64[np.ndarray, " rows"] | None:
    if count is None or count == size:
        return None
    return np.sort(np.random.default_rng(seed).permutation(size)[:count])


def rungs(records: int, fewest: int = 1000, factor: int = 4) -> Sequence[int]:
    """Growing numbers of records at which poor settings are given up: 1,000, 4,000, ... and all."""
    found = []
    while fewest < records:
        found.append(fewest)
        fewest *= factor
    return [*found, records]
