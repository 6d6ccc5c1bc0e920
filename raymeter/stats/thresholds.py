"""Decisions at one threshold: thresholds carried over from other targets, rates there, and precision at a prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64

from raymeter.errors import SignalError
from raymeter.schema.results import Interval, MeanInterval, ThresholdComparison, ThresholdRates, ThresholdSummary
from raymeter.schema.scores import Scores
from raymeter.stats.figures import precision_shape, rate_shape, variance_of
from raymeter.stats.kinds import EVERYONE, MEMBERS, KindPairs, Kinds
from raymeter.stats.means import interval_over_targets, spread_of_products
from raymeter.stats.roc import divide
from raymeter.stats.tpr import check_confidence, check_rate, clopper_pearson, threshold_at_fpr

PRIORS = (0.5, 0.1, 0.01)  # shares of members among the records that are asked about


def transferred_threshold(scores: Scores, fpr: float) -> float:
    """Threshold for a target whose members are unknown: the median of the reference targets' own thresholds.

    Each reference target's threshold is `threshold_at_fpr` of its non-members. A record counts as flagged
    where score > threshold. The rate realised on the target is not fpr but near it: `rates_at_threshold`
    measures it where the membership is known.

    Args:
        scores: Of reference targets that stand in for the target; it must not be among them.
        fpr: In [0, 1].

    Raises:
        SignalError: fpr is not in [0, 1], or a target has no non-members or a NaN score.

    Notes:
        The median keeps one odd reference from moving the threshold. Below 1 / non-members the thresholds
        are each target's largest non-member score, whatever the rate asked for.

    References:
        Carlini et al., S&P 2022, arXiv:2112.03570. Drift of the realised rate: arXiv:2603.07567.

    Examples:
        >>> values, member = np.array([[3.0, 3.0, 3.0], [1.0, 2.0, 9.0]]), np.array([[True] * 3, [False] * 3])
        >>> transferred_threshold(Scores("loss", values, member, np.arange(2), np.arange(3)), 0.0)  # of 1, 2 and 9
        2.0
    """
    check_rate("fpr", fpr)
    if scores.values.shape[1] == 0:
        raise SignalError("a transferred threshold needs at least one reference target, got 0")
    thresholds = []
    for target, values, member in zip(scores.targets, scores.values.T, scores.member.T, strict=True):
        non_members = values[~member]
        if not len(non_members) or np.isnan(non_members).any():
            raise SignalError(
                f"target {target}: a threshold needs non-members whose scores are numbers, got {len(non_members)} "
                f"non-members, {int(np.isnan(non_members).sum())} with NaN"
            )
        thresholds.append(threshold_at_fpr(non_members, fpr))
    return float(np.median(thresholds))


def rates_at_threshold(
    scores: Float[np.ndarray, " examples"],
    member: Bool[np.ndarray, " examples"],
    threshold: float,
    confidence: float = 0.95,
) -> ThresholdRates:
    """True- and false-positive rate of the rule score > threshold, with Clopper-Pearson intervals.

    Args:
        scores: Of one target; higher means member.
        member: Whether the target was trained on each record.
        threshold: Fixed without a look at these scores, for instance by `transferred_threshold`; for a
            threshold found on the same scores the intervals are too short (see `tpr_at_fpr`).
        confidence: Of each interval alone, in (0, 1).

    Raises:
        SignalError: A score or the threshold is NaN, a group is empty, or the confidence is not in (0, 1).

    References:
        Clopper and Pearson, Biometrika 26 (1934).

    Examples:
        >>> rates = rates_at_threshold(np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False]), 2.5)
        >>> rates.tpr.estimate, rates.fpr.estimate, rates.true_positives, rates.false_positives
        (0.5, 0.0, 1, 0)
    """
    check_confidence(confidence)
    if np.isnan(threshold):
        raise SignalError("threshold must be a number, got nan")
    divide(scores, member)  # raises where they do not do
    return _rates(Kinds.of(scores > threshold, member), float(threshold), confidence)


def _rates(kinds: Kinds, threshold: float, confidence: float) -> ThresholdRates:
    """Both rates of what was flagged, with Clopper-Pearson intervals."""
    true_positives, false_positives = int(kinds.counts[3]), int(kinds.counts[1])
    return ThresholdRates(
        threshold=float(threshold),
        tpr=clopper_pearson(true_positives, kinds.members, confidence),
        fpr=clopper_pearson(false_positives, kinds.others, confidence),
        true_positives=true_positives,
        false_positives=false_positives,
    )


def ppv(tpr: float, fpr: float, prior: float) -> float:
    """Probability that a flagged record is a member: prior * tpr / (prior * tpr + (1 - prior) * fpr).

    Where nothing is ever flagged the quotient is 0 / 0 and the prior is returned: a decision that is never
    made changes nobody's odds.

    Args:
        tpr: Share of members that are flagged, in [0, 1].
        fpr: Share of non-members that are flagged, in [0, 1].
        prior: Share of members among the records that are asked about, in [0, 1].

    Raises:
        SignalError: One of the three is not in [0, 1].

    References:
        Jayaraman et al., PoPETs 2021 (2), arXiv:2005.10881 (PPV under a skewed prior).

    Examples:
        >>> [round(ppv(0.084, 0.001, prior), 3) for prior in (0.5, 0.1, 0.01, 0.001)]
        [0.988, 0.903, 0.459, 0.078]
    """
    check_rate("tpr", tpr)
    check_rate("fpr", fpr)
    check_rate("prior", prior)
    flagged = prior * tpr + (1 - prior) * fpr
    return prior * tpr / flagged if flagged > 0 else float(prior)


def ppv_interval(
    true_positives: int,
    members: int,
    false_positives: int,
    non_members: int,
    prior: float,
    confidence: float = 0.95,
) -> Interval:
    """Precision at a prior with its interval, for a threshold that was fixed elsewhere.

    Given how many records are flagged in all, the flagged members are Binomial(flagged, s) with
    s / (1 - s) = members * tpr / (non_members * fpr), and s alone decides the precision. Its
    Clopper-Pearson bounds are carried over to the prior. Exact where both counts are Poisson; rates of
    real size vary less than that, so the interval is never too short.
    With no flagged record the estimate is the prior (see `ppv`) and the interval [0, 1].

    Args:
        true_positives: Flagged members of `members`.
        false_positives: Flagged non-members of `non_members`.
        prior: Share of members among the records that are asked about, in [0, 1].
        confidence: In (0, 1).

    Raises:
        SignalError: More are flagged than there are, a group is empty, or prior or confidence is out of range.

    Notes:
        Simulated coverage of the nominal 95 %: 96-96.5 % with 5,000 + 5,000 records, TPR 5-20 % and FPR 1 %,
        96.5-97 % with 1,000 + 1,000; 97-98.5 % where 5 or fewer false positives are expected; 99 % at
        TPR = FPR = 50 %.
        A score interval for fpr / tpr (Koopman, Biometrics 40, 1984) is shorter there, but falls below 94 %
        in small or unequal groups.

    References:
        Clopper and Pearson, Biometrika 26 (1934). Conditioning on the total: Przyborowski and Wilenski,
        Biometrika 31 (1940).

    Examples:
        >>> precision = ppv_interval(8, 10, 2, 10, prior=0.5)  # 0.8 / (0.8 + 0.2), as with Clopper-Pearson of 8 in 10
        >>> round(precision.estimate, 3), round(precision.low, 3), round(precision.high, 3)
        (0.8, 0.444, 0.975)
    """
    check_rate("prior", prior)
    check_confidence(confidence)
    for name, flagged, size in (("members", true_positives, members), ("non-members", false_positives, non_members)):
        if size < 1 or not 0 <= flagged <= size:
            raise SignalError(f"flagged {name} must be in 0..{name}, got {flagged} of {size}")
    estimate = ppv(true_positives / members, false_positives / non_members, prior)
    total = true_positives + false_positives
    share = clopper_pearson(true_positives, total, confidence) if total else Interval(0.5, 0.0, 1.0)
    low, high = (ppv(s / members, (1 - s) / non_members, prior) for s in (share.low, share.high))
    return Interval(estimate, min(low, estimate), max(high, estimate))


def compare_thresholds(
    scores: Scores,
    transferred: Float[np.ndarray, "targets fprs"],
    fprs: Sequence[float],
    clusters: Int64[np.ndarray, " targets"],
    priors: Sequence[float] = PRIORS,
) -> dict[str, ThresholdComparison]:
    """What thresholds transferred from stand-ins do, next to oracle ones, at each false-positive rate.

    Args:
        scores: One attack on all targets.
        transferred: Thresholds that know nothing of the target (see `attacks.common.stand_ins`);
            NaN where there are none.
        fprs: The rates that the thresholds were asked to keep.
        clusters: Which targets are dependent, see `dependent_targets`.
        priors: Shares of members for which the precision is given.

    Returns:
        One comparison per rate, keyed by its shortest text. The realised rate of a transferred threshold is
        measured, not assumed: it drifts from the rate asked for where targets differ.

    References:
        Carlini et al., S&P 2022, arXiv:2112.03570, section VI; arXiv:2603.07567 (thresholds tuned on the
        target are optimistic); Jayaraman et al., arXiv:2005.10881 (precision at a skewed prior).

    Examples:
        >>> values, member = np.array([[3.0], [1.0], [2.0], [0.0]]), np.array([[True], [True], [False], [False]])
        >>> scores = Scores("loss", values, member, np.arange(4), np.arange(1))
        >>> comparison = compare_thresholds(scores, np.array([[1.5]]), [0.5], np.array([0]))["0.5"]
        >>> comparison.transferred.tpr.estimate, comparison.oracle.tpr.estimate  # above 1.5, and above 0
        (0.5, 1.0)
    """
    oracle = np.empty((len(clusters), len(fprs)))
    for t, (values, member) in enumerate(zip(scores.values.T, scores.member.T, strict=True)):
        non_members = divide(values, member)[1]
        oracle[t] = [threshold_at_fpr(non_members, fpr) for fpr in fprs]
    comparisons = {}
    for position, fpr in enumerate(fprs):
        known, at_transferred = transferred[:, position], None
        if not np.isnan(known).any():
            at_transferred = _summary(scores, known, clusters, priors)
        at_oracle = _summary(scores, oracle[:, position], clusters, priors)
        comparisons[f"{fpr:g}"] = ThresholdComparison(at_transferred, at_oracle)
    return comparisons


def _summary(
    scores: Scores,
    thresholds: Float[np.ndarray, " targets"],
    clusters: Int64[np.ndarray, " targets"],
    priors: Sequence[float],
) -> ThresholdSummary:
    """Rates and precisions at a threshold of each target, whose scores are numbers."""
    columns = zip(scores.values.T, scores.member.T, thresholds.tolist(), strict=True)
    kinds = [Kinds.of(values > threshold, member) for values, member, threshold in columns]
    rates = [_rates(of_target, threshold, 0.95) for of_target, threshold in zip(kinds, thresholds, strict=True)]
    pairs = KindPairs(kinds)

    def mean(intervals: list[Interval], shapes: list[np.ndarray], part: np.ndarray) -> MeanInterval:
        of_targets = zip(kinds, intervals, shapes, strict=True)
        levels = np.stack([each.levels(shape, part, variance_of(interval)) for each, interval, shape in of_targets])
        estimates = np.array([interval.estimate for interval in intervals])
        return interval_over_targets(
            intervals, spread_of_products(pairs.products(levels, clusters), estimates, clusters)
        )

    def mean_rate(intervals: list[Interval], side: np.ndarray) -> MeanInterval:
        return mean(intervals, [rate_shape(interval, side) for interval in intervals], side)

    shapes = [precision_shape(each) for each in kinds]

    def mean_precision(prior: float) -> MeanInterval:
        counts = zip(rates, kinds, strict=True)
        intervals = [
            ppv_interval(rate.true_positives, each.members, rate.false_positives, each.others, prior)
            for rate, each in counts
        ]
        return mean(intervals, shapes, EVERYONE)

    return ThresholdSummary(
        tpr=mean_rate([rate.tpr for rate in rates], MEMBERS),
        fpr=mean_rate([rate.fpr for rate in rates], ~MEMBERS),
        ppv={f"{prior:g}": mean_precision(prior) for prior in priors},
        targets=tuple(rates),
    )
