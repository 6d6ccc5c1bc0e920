"""Area under the ROC curve, with DeLong's variance."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import special, stats

from raymeter.schema.results import Interval
from raymeter.stats.roc import divide


def auc(scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]) -> float:
    """Probability that a random member scores above a random non-member; ties count one half.

    Examples:
        >>> auc(np.array([3.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False]))  # 3 1/2 of 4 pairs
        0.875
    """
    members, non_members = divide(scores, member)
    n1, n0 = len(members), len(non_members)
    ranks = stats.rankdata(np.concatenate([members, non_members]))
    return float((ranks[:n1].sum() / n1 - (n1 + 1) / 2) / n0)


def placements(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]
) -> tuple[Float[np.ndarray, " members"], Float[np.ndarray, " non_members"]]:
    """Share of non-members below each member, and share of members above each non-member; ties count one half.

    Both average to the AUC. From midranks R: (R_all - R_members) / n0 and 1 - (R_all - R_non_members) / n1,
    in the order of the examples.

    Raises:
        SignalError: A score is NaN, or there are no members or no non-members.

    References:
        Sun and Xu, IEEE Signal Processing Letters 21 (2014), algorithm 2.

    Examples:
        >>> [shares.tolist() for shares in placements(np.array([2.0, 1.0, 1.0]), np.array([True, True, False]))]
        [[1.0, 0.5], [0.75]]
    """
    members, non_members = divide(scores, member)
    n1, n0 = len(members), len(non_members)
    ranks = stats.rankdata(np.concatenate([members, non_members]))
    above_non_members = (ranks[:n1] - stats.rankdata(members)) / n0
    below_members = 1 - (ranks[n1:] - stats.rankdata(non_members)) / n1
    return above_non_members, below_members


def auc_and_variance(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]
) -> tuple[float, float]:
    """AUC and DeLong's estimate of its variance, in O(n log n) by midranks.

    The variance needs two members and two non-members; with fewer it is NaN.

    References:
        DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988); Sun and Xu, IEEE SPL 21 (2014), algorithm 2.

    Examples:
        >>> auc_and_variance(np.array([3.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False]))
        (0.875, 0.03125)
    """
    above_non_members, below_members = placements(scores, member)
    n1, n0 = len(above_non_members), len(below_members)
    area = float(above_non_members.mean())
    if min(n1, n0) < 2:
        return area, float("nan")
    return area, float(above_non_members.var(ddof=1) / n1 + below_members.var(ddof=1) / n0)


def auc_interval(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"], confidence: float = 0.95
) -> Interval:
    """AUC with DeLong's interval, taken on the logit scale so that it stays within (0, 1).

    A perfect separation has no variance to estimate. Its open end is then (alpha / 2) ** (1 / n) with
    the smaller group's n: the Clopper-Pearson bound for n successes in n trials. Where all scores are
    tied, the same bound limits the share of pairs that are not, and the interval is 1/2 -+ half of that.

    Raises:
        SignalError: A score is NaN, or there are no members or no non-members.

    Examples:
        >>> perfect = auc_interval(np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, True, False, False]))
        >>> perfect.estimate, round(perfect.low, 3), perfect.high  # 0.025 ** (1 / 2)
        (1.0, 0.158, 1.0)
    """
    area, variance = auc_and_variance(scores, member)
    alpha = 1 - confidence
    smaller = min(int(np.sum(member)), len(member) - int(np.sum(member)))
    if area in (0.0, 1.0):
        bound = (alpha / 2) ** (1 / smaller)
        return Interval(area, bound, 1.0) if area == 1.0 else Interval(area, 0.0, 1 - bound)
    if smaller < 2:
        return Interval(area, 0.0, 1.0)
    if variance == 0:  # nothing but ties
        untied = 1 - (alpha / 2) ** (1 / smaller)
        return Interval(area, area - untied / 2, area + untied / 2)
    half = stats.norm.ppf(1 - alpha / 2) * np.sqrt(variance) / (area * (1 - area))
    centre = special.logit(area)
    return Interval(area, float(special.expit(centre - half)), float(special.expit(centre + half)))
