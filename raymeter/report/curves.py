"""Scores -> the curves of a picture: one target's ROC, or the average over targets. No drawing here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from raymeter.schema.interval_text import interval_text
from raymeter.schema.results import AttackResult, Interval, MeanInterval
from raymeter.stats import roc_curve
from raymeter.stats.roc import EXACT_FPRS, FURTHER_FPRS, spread_rates, thin

__all__ = [
    "EXACT_FPRS",
    "FURTHER_FPRS",
    "Line",
    "auc_label",
    "average_lines",
    "fpr_grid",
    "step_tpr",
    "target_lines",
    "thin",
]


@dataclass(frozen=True)
class Line:
    """One step curve of a picture: TPR holds from its FPR up to the next; optionally with a band around it."""

    label: str
    fpr: Float[np.ndarray, " points"]
    tpr: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"] | None = None
    high: Float[np.ndarray, " points"] | None = None


def target_lines(attacks: Sequence[AttackResult], position: int) -> list[Line]:
    """ROC curves of all attacks on the target at a position (not its model number), thinned for drawing.

    Raises:
        SignalError: A score is NaN, or the target has no members or no non-members.
    """
    lines = []
    for attack in attacks:
        lines.append(Line(auc_label(attack.name, attack.targets[position].auc), *thin(*curve(attack, position))))
    return lines


def average_lines(attacks: Sequence[AttackResult]) -> list[Line]:
    """Vertical averages over targets: the mean TPR at every FPR of `fpr_grid`.

    The band is one standard deviation between targets (ddof 1, as in the tables) to each side, cut to
    [0, 1]; with a single target there is none.

    Raises:
        SignalError: As `target_lines`.
    """
    lines = []
    for attack in attacks:
        member = attack.scores.member
        grid = fpr_grid(int((~member).sum(axis=0).min()))
        tpr = np.stack([step_tpr(*curve(attack, t), grid) for t in range(member.shape[1])])
        mean, label = tpr.mean(axis=0), auc_label(attack.name, attack.auc)
        if len(tpr) == 1:
            lines.append(Line(label, grid, mean))
        else:
            sd = tpr.std(axis=0, ddof=1)
            lines.append(Line(label, grid, mean, np.maximum(mean - sd, 0), np.minimum(mean + sd, 1)))
    return lines


def curve(attack: AttackResult, position: int) -> tuple[np.ndarray, np.ndarray]:
    """False- and true-positive rates of one target: all of them, or those that were kept of millions of records."""
    if attack.curves:
        return attack.curves[position]
    return roc_curve(attack.scores.values[:, position], attack.scores.member[:, position])[:2]


def fpr_grid(non_members: int) -> Float[np.ndarray, " points"]:
    """False-positive rates 0, 1/n, 2/n, ... up to EXACT_FPRS steps, then multiples of 1/n dense on both scales."""
    few = np.arange(min(EXACT_FPRS, non_members) + 1)
    return np.union1d(few, spread_rates(EXACT_FPRS, non_members).astype(int)) / non_members


def step_tpr(
    fpr: Float[np.ndarray, " points"], tpr: Float[np.ndarray, " points"], grid: Float[np.ndarray, " grid"]
) -> Float[np.ndarray, " grid"]:
    """Highest TPR with an FPR of at most each grid value: the step rule, no interpolation.

    Args:
        fpr, tpr: A curve as from `roc_curve`, ascending, starting at (0, 0).
        grid: In [0, 1].
    """
    # 1 / 3 and 200 / 600 may differ in the last bit
    last = np.searchsorted(fpr, grid * (1 + 1e-12), side="right") - 1
    steps: np.ndarray = tpr[last]
    return steps


def auc_label(name: str, auc: Interval | MeanInterval) -> str:
    """What a legend headed AUC says about a curve."""
    return f"{name}  {interval_text(auc)}"
