"""Receiver operating characteristic with tied scores grouped; higher scores mean member."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from raymeter.errors import SignalError

# The lowest achievable false-positive rates are never left out; beyond them as many again suffice for a picture.
EXACT_FPRS, FURTHER_FPRS = 200, 250


def divide(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]
) -> tuple[Float[np.ndarray, " members"], Float[np.ndarray, " non_members"]]:
    """Scores of members and of non-members.

    Raises:
        SignalError: A score is NaN, or one of the groups is empty.
    """
    scores, member = np.asarray(scores, dtype=np.float64), np.asarray(member, dtype=bool)
    if scores.shape != member.shape or scores.ndim != 1:
        raise SignalError(f"scores and member must be equally long, got shapes {scores.shape} and {member.shape}")
    if np.isnan(scores).any():
        raise SignalError(
            f"{int(np.isnan(scores).sum())} scores are NaN; first at row {int(np.isnan(scores).argmax())}"
        )
    if member.all() or not member.any():
        raise SignalError(f"both members and non-members are needed, got {int(member.sum())} members of {len(member)}")
    return scores[member], scores[~member]


def roc_curve(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """False-positive rate, true-positive rate and threshold at every distinct score.

    A record counts as positive where score >= threshold. The curve starts at (0, 0) with threshold
    infinity and ends at (1, 1); tied scores make one step, so no order among them is assumed.

    Raises:
        SignalError: A score is NaN, or there are no members or no non-members.

    Examples:
        >>> fpr, tpr, thresholds = roc_curve(np.array([3.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False]))
        >>> fpr.tolist(), tpr.tolist()
        ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    members, non_members = divide(scores, member)
    values = np.concatenate([members, non_members])
    is_member = np.arange(len(values)) < len(members)
    order = np.argsort(-values)
    values, is_member = values[order], is_member[order]
    last_of_tie = np.append(values[1:] != values[:-1], True)
    true_positives = np.cumsum(is_member)[last_of_tie]
    false_positives = np.cumsum(~is_member)[last_of_tie]
    tpr = np.concatenate([[0.0], true_positives / len(members)])
    fpr = np.concatenate([[0.0], false_positives / len(non_members)])
    return fpr, tpr, np.concatenate([[np.inf], values[last_of_tie]])


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
    across = np.searchsorted(fpr, spread_rates(fpr[EXACT_FPRS], 1.0), side="right") - 1
    upwards = np.searchsorted(tpr, np.linspace(tpr[EXACT_FPRS], 1.0, FURTHER_FPRS), side="right") - 1
    kept = np.unique(np.concatenate([np.arange(EXACT_FPRS), across, upwards, [len(fpr) - 1]]))
    return fpr[kept], tpr[kept]


def spread_rates(low: float, high: float) -> Float[np.ndarray, " points"]:
    """Rates from low to high, dense on a linear and on a logarithmic axis."""
    low = min(low, high)
    return np.union1d(np.geomspace(low, high, FURTHER_FPRS), np.linspace(low, high, FURTHER_FPRS))
