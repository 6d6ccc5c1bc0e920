"""Choosing settings for a target without looking at it: stand-ins are attacked in its place.

A stand-in is one of the target's references. It is judged by the target's other references, less those
that were trained on exactly its opposite records. The columns of the target, of the models that may not
judge it and of those with exactly the opposite records are cut out before anything is chosen, so the
choice cannot depend on the labels that the reported figures are computed with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int64

from raymeter.errors import MissingReferences, SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.selection import select, select_matrix, with_targets
from raymeter.schema.signals import SignalMatrix, Signals, opposite_models
from raymeter.stats.thresholds import transferred_threshold

STAND_INS = 4  # reference models attacked in place of a target
ENOUGH_TO_BE_OPPOSITE = 64  # records among which no two models are opposite by accident
RECORDS = 10_000  # records, evenly spaced, that a choice is made on: bounds its cost


@dataclass(frozen=True)
class StandIns:
    """Which rows and columns of the signals make the audit of the stand-ins of one target."""

    rows: Int64[np.ndarray, " rows"]
    columns: Int64[np.ndarray, " columns"]
    targets: Int64[np.ndarray, " stand_ins"]
    reference: Bool[np.ndarray, "stand_ins columns"]

    def of(self, matrix: SignalMatrix) -> SignalMatrix:
        """One kind of the audited records' signals, as a choice may see it."""
        chosen = select_matrix(matrix, records=self._records(matrix), models=self.columns)
        return replace(chosen, targets=self.targets, reference=self.reference)

    def of_all(self, signals: Signals) -> Signals:
        """The same of every kind of signals, the population's too."""
        chosen = select(signals, records=self._records(signals.design), models=self.columns)
        return with_targets(chosen, self.targets, self.reference)

    def _records(self, matrix: SignalMatrix) -> Int64[np.ndarray, " rows"] | None:
        return None if len(self.rows) == len(matrix.values) else self.rows


def stand_ins(signals: SignalMatrix) -> list[StandIns]:
    """For each target up to STAND_INS of its references, evenly spaced, and who may judge them.

    A list entry has no targets where none of the references has both members and non-members. Who may judge a
    stand-in that is a target itself is known from `may_not_judge`. For others, models with exactly opposite
    members are left out; among few records two models may be opposite by accident, which says something of
    their labels, so a target's own mask is trusted there.
    """
    opposite: np.ndarray = opposite_models(signals.member)
    examples = len(signals.values)
    if examples < ENOUGH_TO_BE_OPPOSITE:
        opposite[signals.targets] = False
    apart = signals.may_not_judge() | opposite
    rows = np.arange(examples)
    if examples > RECORDS:
        rows = np.linspace(0, examples - 1, RECORDS).astype(np.int64)
    member = signals.member[rows]
    has_both_sides = np.asarray(member.any(axis=0) & ~member.all(axis=0))
    plans = []
    for t, target in enumerate(signals.targets):
        columns = np.flatnonzero(signals.reference[t] & ~apart[target])
        usable = np.flatnonzero(has_both_sides[columns])
        chosen = usable[np.linspace(0, len(usable) - 1, min(STAND_INS, len(usable))).astype(np.int64)]
        judges: np.ndarray = ~apart[np.ix_(columns[chosen], columns)]
        judges[np.arange(len(chosen)), chosen] = False
        plans.append(StandIns(rows, columns, chosen.astype(np.int64), judges))
    return plans


def why_not(error: SignalError) -> str:
    """Why stand-ins could not be attacked; missing references without the numbers of the cut-out models."""
    if isinstance(error, MissingReferences):
        return "too few models are left to judge a reference in its place; train more models"
    return str(error)


def stand_in_thresholds(
    attack: Callable[[Signals], Scores], signals: Signals, fprs: Sequence[float]
) -> Float[np.ndarray, "targets fprs"]:
    """For each target the thresholds that its stand-ins suggest: what an attacker who knows no label would use.

    Each is the median over stand-ins of their own threshold at the rate (see `transferred_threshold`). NaN
    where the attack cannot judge the stand-ins, for want of models.
    """
    plans = stand_ins(signals.design)
    thresholds = np.full((len(plans), len(fprs)), np.nan)
    for t, plan in enumerate(plans):
        if not len(plan.targets):
            continue
        try:
            scores = attack(plan.of_all(signals))
        except SignalError:
            continue
        thresholds[t] = [transferred_threshold(scores, fpr) for fpr in fprs]
    return thresholds
