"""The pooled ROC over all targets, as a secondary view."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from raymeter.schema.scores import Scores
from raymeter.stats.auc import auc
from raymeter.stats.roc import divide, roc_curve

MOST_RANKED = 20_000_000  # scores whose ranks are taken at once; of more, pairs are counted target by target


def pooled_roc(
    scores: Scores,
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """ROC of the scores of all targets thrown together: pooled, **not calibrated across targets**.

    One threshold is used for all targets although each has its own scale, and a record counts once per
    target, so the points are dependent and no interval is given. A secondary view, to be labelled as
    pooled; the mean of the per-target metrics is the primary result.

    Returns:
        False-positive rate, true-positive rate and threshold, as `roc_curve`.

    Raises:
        SignalError: A score is NaN, or there are no members or no non-members.

    References:
        Carlini et al., S&P 2022, arXiv:2112.03570 (pooled curves). Jälkö et al., arXiv:2605.25819
        (why they are not calibrated).

    Examples:
        >>> values, member = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[True, True], [False, False]])
        >>> scores = Scores("loss", values, member, np.arange(2), np.arange(2))  # each target alone has an AUC of 1
        >>> [axis.tolist() for axis in pooled_roc(scores)]
        [[0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0], [inf, 2.0, 1.0, 0.0]]
    """
    return roc_curve(scores.values.T.ravel(), scores.member.T.ravel())


def pooled_auc(scores: Scores) -> float:
    """Area under `pooled_roc`: pooled and not calibrated across targets, whose pairs are also compared.

    Raises:
        SignalError: A score is NaN, or there are no members or no non-members.

    Examples:
        >>> values, member = np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[True, True], [False, False]])
        >>> scores = Scores("loss", values, member, np.arange(2), np.arange(2))  # each target alone has an AUC of 1
        >>> pooled_auc(scores)  # 3 1/2 of 4 pairs
        0.875
    """
    if scores.values.size <= MOST_RANKED:
        return auc(scores.values.T.ravel(), scores.member.T.ravel())
    ends = np.concatenate([[0], np.cumsum((~scores.member).sum(axis=0))])
    non_members = np.empty(ends[-1])
    for t, (values, member) in enumerate(zip(scores.values.T, scores.member.T, strict=True)):
        non_members[ends[t] : ends[t + 1]] = divide(values, member)[1]
    non_members.sort()
    twice_below = 0  # twice the pairs in which the member is above, and once those that tie
    for values, member in zip(scores.values.T, scores.member.T, strict=True):
        members = np.sort(values[member])
        twice_below += int(np.searchsorted(non_members, members, side="left").sum())
        twice_below += int(np.searchsorted(non_members, members, side="right").sum())
    return twice_below / (2 * len(non_members) * int(scores.member.sum()))
