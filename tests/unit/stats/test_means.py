"""Means over targets: their variance by records and by trainings, and the interval that comes of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raymeter.schema.results import Interval
from raymeter.stats import Figure, dependent_targets, difference_over_targets, mean_over_targets
from raymeter.stats.means import TwoWaySum
from raymeter.training.split import pair_reference

HALF = 1.96 * 0.02
PAIRS = np.array([0, 0, 1, 1])


def figures(estimates: list[float], influence: np.ndarray) -> list[Figure]:
    """One figure per estimate, with the influences of its row and an interval of two standard errors."""
    return [
        Figure(Interval(e, max(e - HALF, 0), min(e + HALF, 1)), row)
        for e, row in zip(estimates, influence, strict=True)
    ]


def variance_by_loops(estimates: np.ndarray, influence: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """The slow twin: variance by records and by trainings, one cell at a time; clusters weigh by their targets."""
    names, count, records = np.unique(clusters), len(clusters), influence.shape[1]
    k = len(names)
    mean = estimates.mean()
    by_records = sum(sum(influence[t][i] for t in range(count)) ** 2 for i in range(records)) / count**2
    if k < 2:
        return by_records, 0.0
    between = explained = 0.0
    for name in names:
        members = np.flatnonzero(clusters == name)
        weight = len(members) / count
        between += weight**2 * (estimates[members].mean() - mean) ** 2
        for i in range(records):
            own = sum(influence[t][i] for t in members) / len(members)
            explained += weight**2 * (own - influence[:, i].mean()) ** 2
    return by_records, max(0.0, (between - explained) * k / (k - 1))


def test_dependent_targets_are_the_complementary_pairs():
    """Targets that may not judge one another share a cluster, wherever their columns are."""
    reference = pair_reference(6)
    assert dependent_targets(reference, np.arange(6)).tolist() == [0, 0, 1, 1, 2, 2]
    some = np.array([4, 0, 5])
    assert dependent_targets(reference[some], some).tolist() == [0, 1, 0]


@pytest.mark.parametrize("clusters", [[0, 0, 1, 1, 2, 2], [0, 1, 0, 2, 2, 2], [0, 1, 2, 3, 4, 5], [0] * 6])
def test_variance_matches_the_loops(clusters):
    """Whatever the sizes of the clusters and the order of the targets."""
    rng = np.random.default_rng(0)
    estimates, influence = 0.5 + 0.2 * rng.normal(size=6), rng.normal(0, 0.01, (6, 50))
    by_records, by_trainings = variance_by_loops(estimates, influence, np.array(clusters))
    total = TwoWaySum(np.array(clusters))
    for estimate, row in zip(estimates, influence, strict=True):
        total.add(np.array([estimate]), row[None])
    spread, k = total.spread(np.ones(1)), len(set(clusters))
    assert total.estimates[0] == pytest.approx(estimates.mean())
    assert spread.variance == pytest.approx(by_records + by_trainings)
    expected_df = max(k + 1, (k - 1) * (1 + by_records / by_trainings) ** 2) if by_trainings else np.inf
    assert spread.df == pytest.approx(expected_df)


def test_contrasts_are_those_of_the_differences():
    """Two figures added together and subtracted have the spread of their differences added alone."""
    rng = np.random.default_rng(1)
    estimates, influence = rng.uniform(0.4, 0.6, (4, 2)), rng.normal(0, 0.01, (4, 2, 30))
    both, one = TwoWaySum(PAIRS), TwoWaySum(PAIRS)
    for e, rows in zip(estimates, influence, strict=True):
        both.add(e, rows)
        one.add(e[:1] - e[1:], rows[:1] - rows[1:])
    contrast, alone = both.spread(np.array([1.0, -1.0])), one.spread(np.ones(1))
    assert (contrast.variance, contrast.df) == pytest.approx((alone.variance, alone.df))


def test_pairs_that_hang_on_the_same_records_are_no_surer_than_one():
    """The old interval was a t over pairs: two pairs that agree had one of no width, whatever their records."""
    influence = np.full((4, 100), 0.002)  # a standard error of 0.02
    mean = mean_over_targets(figures([0.6] * 4, influence), PAIRS)
    assert (mean.low, mean.high) == pytest.approx((0.6 - HALF, 0.6 + HALF), abs=2e-3)


def test_trainings_that_differ_widen_the_interval():
    """Pairs further apart than their records explain: Student's t with few degrees of freedom, within [0, 1]."""
    influence = np.random.default_rng(2).normal(0, 0.001, (4, 100))
    alike, apart = (mean_over_targets(figures(e, influence), PAIRS) for e in ([0.5] * 4, [0.4, 0.4, 0.6, 0.6]))
    assert alike.high - alike.low < 0.05
    assert apart.low < 0.25 and apart.high > 0.75
    wide = mean_over_targets(figures([0.02, 0.02, 0.98, 0.98], influence), PAIRS)
    assert 0 <= wide.low < 0.1 and 0.9 < wide.high <= 1


def test_one_target_has_its_own_interval():
    """A single target has no spread between targets to go by."""
    mean = mean_over_targets(figures([0.6], np.full((1, 10), 0.002)), np.array([0]))
    assert (mean.estimate, mean.low, mean.high, mean.sd, mean.targets) == (0.6, 0.6 - HALF, 0.6 + HALF, 0.0, 1)


def test_one_pair_goes_by_its_records():
    """A model and its complement: what moves them in opposite ways averages out, what moves both alike does not."""
    influence = np.full(100, 0.002)
    opposed = mean_over_targets(figures([0.6, 0.6], np.stack([influence, -influence])), np.array([0, 0]))
    together = mean_over_targets(figures([0.6, 0.6], np.stack([influence, influence])), np.array([0, 0]))
    assert together.high - together.low == pytest.approx(2 * HALF, rel=0.02)
    assert opposed.high - opposed.low == pytest.approx(2 * HALF, rel=0.02)  # nothing varies: the mean of their own


def test_rates_of_zero_are_not_certain():
    """Pairs that agree at a rate of 0 do not make it certain: they have the mean of their own intervals."""
    zero = [Figure(Interval(0.0, 0.0, 0.02), np.full(50, 0.0007))] * 4
    mean = mean_over_targets(zero, PAIRS)
    assert (mean.estimate, mean.low, mean.high) == (0.0, 0.0, 0.02)


def test_a_rate_near_zero_has_a_longer_upper_side():
    """Jeffreys' interval of an effective sample: asymmetric, and within [0, 1]."""
    influence = np.random.default_rng(3).normal(0, 0.0015, (4, 100))
    mean = mean_over_targets(figures([0.02, 0.01, 0.02, 0.03], influence), PAIRS)
    assert 0 < mean.low and mean.high - mean.estimate > mean.estimate - mean.low


def test_differences_have_students_t():
    """Interval and p-value of the mean difference, by hand."""
    influence = np.array([0.03, -0.03, 0.04, -0.04])  # squares sum to 0.005
    found = difference_over_targets([(0.1, influence), (0.2, influence)], np.array([0, 1]))
    by_trainings = (0.1**2 / 2) / 2  # between two clusters; records explain nothing of it, as both have the same
    variance = 0.005 + by_trainings
    df = max(3, (variance / by_trainings) ** 2)
    assert found.estimate == pytest.approx(0.15)
    assert found.p_value == pytest.approx(2 * stats.t.sf(0.15 / variance**0.5, df))
    half = stats.t.ppf(0.975, df) * variance**0.5
    assert (found.low, found.high) == pytest.approx((0.15 - half, 0.15 + half))


def test_differences_without_influence_have_no_interval():
    """Where no record moves the difference its variance is not known, and nothing is said."""
    assert difference_over_targets([(0.0, np.zeros(5)), (0.0, np.zeros(5))], np.array([0, 1])) is None
