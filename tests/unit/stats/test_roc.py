"""ROC, AUC, TPR at an FPR and binomial intervals: hand values and the check values of the science sheet."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raymeter.errors import SignalError
from raymeter.stats import auc, auc_and_variance, auc_interval, clopper_pearson, roc_curve, threshold_at_fpr, tpr_at_fpr


def joined(members: list[float], non_members: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Scores and membership of two groups."""
    return np.array([*members, *non_members], dtype=float), np.arange(len(members) + len(non_members)) < len(members)


def test_roc_curve_groups_ties():
    """A tie between a member and a non-member is one diagonal step."""
    fpr, tpr, thresholds = roc_curve(*joined([3, 1], [1, 0]))
    assert (fpr.tolist(), tpr.tolist()) == ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    assert thresholds.tolist() == [np.inf, 3.0, 1.0, 0.0]


def test_roc_curve_does_not_depend_on_the_order_within_a_tie():
    """All scores equal give the two corners and nothing else."""
    fpr, tpr, _ = roc_curve(*joined([1, 1, 1], [1, 1]))
    assert (fpr.tolist(), tpr.tolist()) == ([0.0, 1.0], [0.0, 1.0])


@pytest.mark.parametrize(
    ("members", "non_members", "area", "variance"),
    [
        ([1, 2, 3, 4, 5], [0, 1, 2, 3], 0.775, 0.0269791667),
        ([0.8, 0.9, 0.4, 0.6], [0.1, 0.5, 0.35, 0.7, 0.2], 0.85, 0.0191666667),
    ],
)
def test_auc_and_delong_variance_check_values(members, non_members, area, variance):
    """The vectors of science.md 2.1, to every printed digit."""
    got_area, got_variance = auc_and_variance(*joined(members, non_members))
    assert got_area == pytest.approx(area, abs=1e-12)
    assert got_variance == pytest.approx(variance, abs=5e-11)


def test_auc_interval_is_the_score_interval_of_delong():
    """With many records its ends are 1.96 of DeLong's standard errors away, as they are at the end itself."""
    rng = np.random.default_rng(0)
    member = np.arange(40_000) % 2 == 0
    scores = rng.normal(size=40_000) + member
    area, variance = auc_and_variance(scores, member)
    interval = auc_interval(scores, member)
    for end in (interval.low, interval.high):
        at_end = variance * end * (1 - end) / (area * (1 - area))
        assert abs(area - end) == pytest.approx(1.959964 * at_end**0.5, rel=2e-3)


def test_auc_interval_by_hand():
    """Two members at 0 and 2, two others at 1 and 3: DeLong, Welch and the exponential prior, one step at a time."""
    area, variances, n = 0.25, [0.125 / 2, 0.125 / 2], 2  # placements 0, 1/2 and 1/2, 0
    t = stats.t.ppf(0.975, sum(variances) ** 2 / sum(v**2 / (n - 1) for v in variances))
    interval = auc_interval(*joined([0, 2], [1, 3]))

    def variance(end: float) -> float:
        scaled = [v * end * (1 - end) / (area * (1 - area)) for v in variances]
        spread = max(end / (2 - end), 2 * end**2 / (1 + end)) - end**2
        return sum((1 * v + 10 * max(v, spread / n)) / 11 for v in scaled)  # two values: one degree of freedom

    for end in (interval.low, interval.high):
        assert (area - end) ** 2 == pytest.approx(t**2 * variance(end), rel=1e-9) or end in (0.0, 1.0)


@pytest.mark.parametrize("size", [1, 5, 100])
def test_auc_interval_of_a_perfect_attack_is_not_a_point(size):
    """No variance is seen in a perfect separation, so its open end comes from the sample size."""
    up = auc_interval(*joined([1.0] * size, [0.0] * 200))
    down = auc_interval(*joined([0.0] * size, [1.0] * 200))
    assert (up.estimate, up.high, down.estimate, down.low) == (1.0, 1.0, 0.0, 0.0)
    assert up.low == pytest.approx(0.025 ** (1 / size))
    assert down.high == pytest.approx(1 - up.low)


def test_auc_interval_of_constant_scores_is_not_a_point():
    """All scores tied say 0.5, but how rare a difference is depends on how many were looked at."""
    small, large = (auc_interval(*joined([1.0] * n, [1.0] * n)) for n in (10, 1000))
    assert small.estimate == large.estimate == 0.5
    assert small.low < large.low < 0.5 < large.high < small.high
    assert small.high == pytest.approx(0.5 + (1 - 0.025**0.1) / 2)


def test_auc_interval_of_one_member_says_nothing():
    """A variance between members cannot come from one member."""
    interval = auc_interval(*joined([2], [1, 3, 4]))
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high", "digits"),
    [(2100, 25000, 0.08059, 0.08751, 5), (25, 25000, 0.000647, 0.001476, 6)],
)
def test_clopper_pearson_check_values(successes, trials, low, high, digits):
    """The intervals of science.md 2.2, to every printed digit."""
    interval = clopper_pearson(successes, trials)
    assert (round(interval.low, digits), round(interval.high, digits)) == (low, high)
    assert interval.estimate == successes / trials


@pytest.mark.parametrize(
    ("trials", "bound", "digits"), [(1000, 0.00299, 5), (10000, 2.995e-4, 7), (25000, 1.198e-4, 7), (50000, 5.99e-5, 7)]
)
def test_clopper_pearson_of_no_success(trials, bound, digits):
    """Zero false positives bound the rate by 1 - 0.05 ** (1 / n), one-sided, as science.md 2.2 prints."""
    interval = clopper_pearson(0, trials, confidence=0.9)
    assert (interval.low, round(interval.high, digits)) == (0.0, bound)


def test_clopper_pearson_refuses_impossible_counts():
    """More successes than trials is an error that shows both."""
    with pytest.raises(SignalError, match=r"successes must be in 0..trials, got 3 of 2"):
        clopper_pearson(3, 2)


def test_tpr_at_fpr_takes_the_largest_step_that_is_allowed():
    """Ten non-members at 10 % allow one false positive: two of three members are above the second of them."""
    scores, member = joined([20, 8.5, 3], [10, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    estimate = tpr_at_fpr(scores, member, 0.1)
    assert (estimate.estimate, estimate.false_positives, estimate.resolvable) == (2 / 3, 1, True)
    assert tpr_at_fpr(scores, member, 0.0).estimate == 1 / 3
    assert tpr_at_fpr(scores, member, 1.0).estimate == 1.0


def test_tpr_at_fpr_does_not_split_ties():
    """Two non-members tied at the top use up what one false positive allows, so none is taken."""
    estimate = tpr_at_fpr(*joined([5, 3], [5, 5, *[1] * 8]), 0.1)
    assert (estimate.estimate, estimate.false_positives) == (0.0, 0)


@pytest.mark.parametrize(("fpr", "non_members", "allowed"), [(0.29, 100, 29), (0.07, 100, 7), (0.001, 999, 0)])
def test_tpr_at_fpr_takes_whole_products_as_whole(fpr, non_members, allowed):
    """0.29 * 100 is 28.999999999999996 in floating point, and still allows 29 false positives."""
    estimate = tpr_at_fpr(*joined([-1.0], list(range(non_members))), fpr)
    assert (estimate.false_positives, estimate.resolvable) == (allowed, allowed >= 1)


def test_tpr_at_zero_fpr_is_always_resolvable():
    """Nobody asked for a rate finer than the sample: zero false positives can be counted."""
    estimate = tpr_at_fpr(*joined([2, 0], [1, 0]), 0.0)
    assert (estimate.estimate, estimate.false_positives, estimate.resolvable) == (0.5, 0, True)


@pytest.mark.parametrize("members", [[9.0] * 50, [-9.0] * 50])
def test_tpr_interval_does_not_collapse_at_the_ends(members):
    """Where all or no members are caught, the interval still has a width."""
    estimate = tpr_at_fpr(*joined(members, list(np.linspace(0, 1, 500))), 0.01)
    assert estimate.estimate in (0.0, 1.0)
    assert 0.01 < estimate.high - estimate.low < 0.2


def test_tpr_interval_is_the_same_every_time():
    """Its draws have their own seed and leave the global generator alone."""
    scores, member = joined(list(np.arange(50) + 0.5), list(np.arange(60)))
    assert tpr_at_fpr(scores, member, 0.1) == tpr_at_fpr(scores, member, 0.1)


def test_threshold_at_fpr_is_exceeded_by_the_allowed_number():
    """Exactly one of ten non-members is above the 10 % threshold; none above that of 0."""
    assert [threshold_at_fpr(np.arange(10.0), fpr) for fpr in (0.1, 0.0, 1.0)] == [8.0, 9.0, -np.inf]


ZERO, ONE, NAN = ([1.0, 2.0], [False, False]), ([1.0, 2.0], [True, True]), ([1.0, np.nan, 0.0], [True, False, True])


@pytest.mark.parametrize(
    "function",
    [roc_curve, auc, auc_interval, lambda s, m: tpr_at_fpr(s, m, 0.1)],
    ids=["roc", "auc", "interval", "tpr"],
)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ZERO, "both members and non-members are needed, got 0 members of 2"),
        (ONE, "both members and non-members are needed, got 2 members of 2"),
        (NAN, "1 scores are NaN; first at row 1"),
    ],
)
def test_statistics_refuse_empty_groups_and_nan(function, data, message):
    """A curve without members, without non-members or with NaN does not exist."""
    with pytest.raises(SignalError) as error:
        function(np.array(data[0]), np.array(data[1]))
    assert str(error.value) == message


def test_tpr_at_fpr_refuses_an_impossible_rate():
    """A rate above 1 is named."""
    with pytest.raises(SignalError, match=r"fpr must be in \[0, 1\], got 1.5"):
        tpr_at_fpr(*joined([1], [0]), 1.5)
