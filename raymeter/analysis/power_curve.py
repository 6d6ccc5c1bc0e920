"""How many reference models are enough: the same audit again, with fewer references per target."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Int64

from raymeter.attacks.common.reference_units import first_units, unit_orders
from raymeter.errors import SignalError
from raymeter.schema.results import PowerPoint
from raymeter.schema.scores import Scores
from raymeter.schema.selection import select
from raymeter.schema.signals import Signals
from raymeter.stats import auc_figure, dependent_targets, tpr_figure
from raymeter.stats.means import MeanOverTargets

POWER_FPR = 0.001


def power_curve(
    attack: Callable[[Signals], Scores], signals: Signals, seed: int, fpr: float = POWER_FPR
) -> tuple[PowerPoint, ...]:
    """AUC and TPR of an attack with 1, 2, 4, ... and all of the references that each target has.

    References are taken away in units: models with exactly opposite members (a complementary pair) go
    together, so that one unit gives each record one reference, IN or OUT of it. Every target has its own
    seeded order of its units, and the k-th point uses the first k: points of one target are nested.

    Args:
        attack: Scores all targets; it is called once per point.
        signals: Of a finished audit; nothing is trained.
        seed: Of the orders.
        fpr: False-positive rate of the TPR.

    Returns:
        One point per number of units; a number with which the attack cannot run (a record without a
        reference, too few models to tune on) is left out.

    Notes:
        A curve that is still rising at its right end says that more reference models would find more.
        Neighbouring points share references and targets, so their intervals are not independent.
    """
    matrix = signals.design
    orders = unit_orders(matrix, seed)
    clusters = dependent_targets(matrix.reference, matrix.targets)
    most = max(len(order) for order in orders)
    points = []
    for count in sorted({*(2**power for power in range(most.bit_length()) if 2**power < most), most}):
        try:
            scores = attack(select(signals, references=first_units(matrix, orders, count)))
        except SignalError:
            continue
        points.append(_point(scores, count, clusters, fpr))
    return tuple(points)


def _point(scores: Scores, count: int, clusters: Int64[np.ndarray, " targets"], fpr: float) -> PowerPoint:
    auc, tpr, resolvable = MeanOverTargets(clusters), MeanOverTargets(clusters), True
    for values, member in zip(scores.values.T, scores.member.T, strict=True):
        auc.add(auc_figure(values, member))
        rate = tpr_figure(values, member, fpr)
        tpr.add(rate)
        resolvable = resolvable and rate.interval.resolvable
    return PowerPoint(count, auc.interval(), tpr.interval(), fpr, resolvable)
