"""Scores -> the curves of a picture: one target's ROC, or the average over targets. No drawing here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from raymeter.schema import AttackResult, Interval, MeanInterval
from raymeter.stats import roc_curve

# The lowest achievable false-positive rates are never left out; beyond them as many again suffice for a picture.
EXACT_FPRS, FURTHER_FPRS = 200, 250


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
        fpr, tpr, _ = roc_curve(attack.scores.values[:, position], attack.scores.member[:, position])
        lines.append(Line(auc_label(attack.name, attack.targets[position].auc), *thin(fpr, tpr)))
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
        curves = [roc_curve(attack.scores.values[:, t], member[:, t])[:2] for t in range(member.shape[1])]
        tpr = np.stack([step_tpr(*curve, grid) for curve in curves])
        mean, label = tpr.mean(axis=0), auc_label(attack.name, attack.auc)
        if len(tpr) == 1:
            lines.append(Line(label, grid, mean))
        else:
            sd = tpr.std(axis=0, ddof=1)
            lines.append(Line(label, grid, mean, np.maximum(mean - sd, 0), np.minimum(mean + sd, 1)))
    return lines


def fpr_grid(non_members: int) -> Float[np.ndarray, " points"]:
    """False-positive rates 0, 1/n, 2/n, ... up to EXACT_FPRS steps, then multiples of 1/n dense on both scales."""
    few = np.arange(min(EXACT_FPRS, non_members) + 1)
    return np.union1d(few, _spread(EXACT_FPRS, non_members).astype(int)) / non_members


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


def thin(
    fpr: Float[np.ndarray, " points"], tpr: Float[np.ndarray, " points"]
) -> tuple[Float[np.ndarray, " kept"], Float[np.ndarray, " kept"]]:
    """Vertices of a step curve that a picture needs: a few hundred, each one of the given vertices.

    Of the vertices at one FPR only the highest shows, so leaving out the rest changes nothing. The
    EXACT_FPRS lowest distinct rates all stay; of the others those nearest below a grid of FPRs, dense on
    a linear and on a logarithmic axis, and below a grid of TPRs, and the end (1, 1).
    """
    highest = np.append(fpr[1:] != fpr[:-1], True)
    fpr, tpr = fpr[highest], tpr[highest]
    if len(fpr) <= EXACT_FPRS + 2 * FURTHER_FPRS:
        return fpr, tpr
    across = np.searchsorted(fpr, _spread(fpr[EXACT_FPRS], 1.0), side="right") - 1
    upwards = np.searchsorted(tpr, np.linspace(tpr[EXACT_FPRS], 1.0, FURTHER_FPRS), side="right") - 1
    kept = np.unique(np.concatenate([np.arange(EXACT_FPRS), across, upwards, [len(fpr) - 1]]))
    return fpr[kept], tpr[kept]


def auc_label(name: str, auc: Interval | MeanInterval) -> str:
    """What a legend headed AUC says about a curve."""
    return f"{name}  {auc.estimate:.3f} [{auc.low:.3f}, {auc.high:.3f}]"


def _spread(low: float, high: float) -> Float[np.ndarray, " points"]:
    low = min(low, high)
    return np.union1d(np.geomspace(low, high, FURTHER_FPRS), np.linspace(low, high, FURTHER_FPRS))
