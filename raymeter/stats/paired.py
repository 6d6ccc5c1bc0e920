"""Is one attack better than another on the same records? Paired comparison of two AUCs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int64

from raymeter.errors import SignalError
from raymeter.schema.mapped import forget_pages
from raymeter.schema.results import Comparison, Difference
from raymeter.schema.scores import Scores
from raymeter.stats.auc import placements
from raymeter.stats.figures import NORMAL_95, influence_of_placements
from raymeter.stats.means import ROUNDING, TwoWaySum, t_difference
from raymeter.stats.threads import in_turn
from raymeter.stats.tpr import check_confidence


def compare_attacks(
    scores: Sequence[Scores], clusters: Int64[np.ndarray, " targets"], confidence: float = 0.95
) -> tuple[Comparison, ...]:
    """Every attack against every later one on the same records: is one better, or do they only look so?

    Differences are taken per target, where both attacks see the same model, and then averaged; the interval and the
    p-value are Student's t on the variance of `TwoWaySum`, for other records and other trainings. A single target has
    paired DeLong's, and where two attacks order the records of all targets alike the mean of the targets' own is
    given. The p-value is then twice the mean of theirs, which holds however dependent they are (Vovk and Wang,
    Biometrika 107, 2020).

    Args:
        scores: One entry per attack, all on the same records and targets.
        clusters: Which targets are dependent, see `dependent_targets`.
        confidence: In (0, 1).

    Returns:
        One comparison per pair of attacks, in the order of `scores`.

    Raises:
        SignalError: A score is NaN, or a target has no members or no non-members.

    Examples:
        >>> member = np.array([[True], [True], [False], [False]])
        >>> good = Scores("lira", np.array([[2.0], [1.0], [0.0], [0.0]]), member, np.arange(4), np.arange(1))
        >>> blind = Scores("loss", np.zeros((4, 1)), member, np.arange(4), np.arange(1))
        >>> pairs = compare_attacks([good, blind], np.array([0]))
        >>> [(pair.first, pair.second, pair.auc.estimate) for pair in pairs]
        [('lira', 'loss', 0.5)]
    """
    columns = zip(*([*of_attack.values.T] for of_attack in scores), scores[0].member.T, strict=True)
    total = TwoWaySum(clusters)

    def areas(column: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
        *values, member = column
        of_attacks = [placements(of_attack, member) for of_attack in values]
        estimates = np.array([of_members.mean() for of_members, _ in of_attacks])
        return estimates, np.stack([influence_of_placements(sides, member) for sides in of_attacks])

    for area, influence in in_turn(areas, columns, len(scores[0].values)):
        total.add(area, influence)
    for of_attack in scores:
        forget_pages(of_attack.values)
    comparisons = []
    for i, j in combinations(range(len(scores)), 2):
        contrast = np.zeros(len(scores))
        contrast[i], contrast[j] = 1.0, -1.0
        difference = None
        if len(clusters) > 1:
            difference = t_difference(float(contrast @ total.estimates), total.spread(contrast), confidence)
        if difference is None:
            difference = _mean_difference(scores[i], scores[j], confidence)
        comparisons.append(Comparison(scores[i].attack, scores[j].attack, difference))
    return tuple(comparisons)


def _mean_difference(first: Scores, second: Scores, confidence: float) -> Difference:
    """Paired DeLong's differences, averaged over the targets."""
    columns = zip(first.values.T, second.values.T, first.member.T, strict=True)
    per_target = [auc_difference(a, b, member, confidence) for a, b, member in columns]
    estimate, low, high, p = np.array([(d.estimate, d.low, d.high, d.p_value) for d in per_target]).mean(axis=0)
    p_value = p if len(per_target) == 1 else min(2 * p, 1.0)
    return Difference(float(estimate), float(low), float(high), float(p_value))


def normal_difference(estimate: float, error: float, p_without_error: float) -> Difference:
    """A difference with a normal 95 % interval and two-sided p-value; bounds stay within [-1, 1].

    Args:
        error: Its standard error.
        p_without_error: The p-value where the error is 0.
    """
    half = NORMAL_95 * error
    p_value = float(2 * scipy.stats.norm.sf(abs(estimate) / error)) if error > 0 else p_without_error
    return Difference(estimate, max(estimate - half, -1.0), min(estimate + half, 1.0), p_value)


def auc_difference(
    first: Float[np.ndarray, " examples"],
    second: Float[np.ndarray, " examples"],
    member: Bool[np.ndarray, " examples"],
    confidence: float = 0.95,
) -> Difference:
    """AUC of the first attack minus that of the second, on the same records of one target (paired DeLong).

    With d1 and d0 the differences of the two attacks' placements of members and of non-members,
    variance = var(d1) / n1 + var(d0) / n0 (ddof 1): equal to var(A) + var(B) - 2 cov(A, B), and small
    where the attacks agree about each record. Interval and p-value are normal; bounds stay within [-1, 1].

    Args:
        first: Scores of one attack; higher means member.
        second: Scores of the other attack, on any scale: only their order counts.
        member: Whether the target was trained on each record.
        confidence: In (0, 1).

    Raises:
        SignalError: Lengths differ, a score is NaN, there are no members or no non-members, or the
            confidence is not in (0, 1).

    Notes:
        Where the placements differ equally everywhere there is no variance to estimate (two attacks that
        order the records alike; a perfect and a constant one). The share of records that are otherwise is
        then at most q = 1 - (alpha / 2) ** (1 / n), n the smaller group's size, as in `auc_interval`, and each
        of them may be as far off as 1 + |estimate|: the interval is estimate -+ q * (1 + |estimate|). The
        p-value is that of a sign test, 2 ** (1 - n), or 1 where the estimate is 0.
        With one member or one non-member nothing can be said: [-1, 1] and p = 1.

    References:
        DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988).

    Examples:
        >>> member = np.array([True, True, False, False])
        >>> difference = auc_difference(np.array([2.0, 1.0, 0.0, 0.0]), np.zeros(4), member)  # perfect against constant
        >>> difference.estimate, difference.p_value
        (0.5, 0.5)
    """
    check_confidence(confidence)
    if np.shape(first) != np.shape(second):
        raise SignalError(
            f"both attacks must score the same records, got shapes {np.shape(first)} and {np.shape(second)}"
        )
    pairs = zip(placements(first, member), placements(second, member), strict=True)
    of_members, of_non_members = (shares - others for shares, others in pairs)
    estimate = float(of_members.mean())
    smaller = min(len(of_members), len(of_non_members))
    if smaller < 2:
        return Difference(estimate, -1.0, 1.0, 1.0)
    if max(np.ptp(of_members), np.ptp(of_non_members)) < ROUNDING:
        half = (1 - ((1 - confidence) / 2) ** (1 / smaller)) * (1 + abs(estimate))
        p_value = 1.0 if abs(estimate) < ROUNDING else 2.0 ** (1 - smaller)
    else:
        error = np.sqrt(of_members.var(ddof=1) / len(of_members) + of_non_members.var(ddof=1) / len(of_non_members))
        half = scipy.stats.norm.ppf((1 + confidence) / 2) * error
        p_value = float(2 * scipy.stats.norm.sf(abs(estimate) / error))
    return Difference(estimate, float(max(estimate - half, -1.0)), float(min(estimate + half, 1.0)), p_value)
