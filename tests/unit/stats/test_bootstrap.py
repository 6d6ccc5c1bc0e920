"""Bootstrap intervals against literal resampling, and the pooled ROC against hand values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from raymeter.errors import SignalError
from raymeter.schema import Scores
from raymeter.schema.results import MeanInterval
from raymeter.stats import auc, tpr_at_fpr
from raymeter.stats.bootstrap import bootstrap_tpr, cluster_bootstrap_mean, resampled_rates
from raymeter.stats.pooled import pooled_auc, pooled_roc
from raymeter.stats.tpr import threshold_at_fpr

GROUPS = [([1.5, 2.5, 2.5], [1.0, 2.0, 3.0]), ([2.0, 2.0, 3.0], [2.0, 2.0, 1.0]), ([0.0, 4.0, 5.0], [3.0, 3.0, 3.0])]


@pytest.mark.parametrize(("members", "non_members"), GROUPS, ids=["plain", "tied", "constant"])
@pytest.mark.parametrize("fpr", [0.0, 0.34, 0.67, 1.0])
def test_resampled_rates_have_the_exact_bootstrap_distribution(members, non_members, fpr):
    """All 27 x 27 resamples of three members and three non-members, each by the step rule, are as frequent as drawn."""
    exact = []
    for picked in itertools.product(non_members, repeat=3):
        threshold = threshold_at_fpr(np.array(picked), fpr)
        exact += [np.mean(np.array(m) > threshold) for m in itertools.product(members, repeat=3)]
    drawn = resampled_rates(np.sort(members), np.sort(non_members), int(fpr * 3), 20_000, np.random.default_rng(0))
    for thirds in range(4):
        share = np.mean(np.isclose(exact, thirds / 3))
        assert np.mean(np.isclose(drawn, thirds / 3)) == pytest.approx(share, abs=0.015)


def test_bootstrap_tpr_estimate_is_the_step_rule_and_lies_in_its_interval():
    """The estimate is that of `tpr_at_fpr`; ten thousand records and a thousand draws take milliseconds."""
    rng = np.random.default_rng(0)
    member = np.arange(10_000) < 5000
    scores = rng.normal(size=10_000) + member
    found = bootstrap_tpr(scores, member, 0.01)
    assert found.estimate == tpr_at_fpr(scores, member, 0.01).estimate
    assert 0.05 < found.low < found.estimate < found.high < 0.15


def test_bootstrap_tpr_depends_on_its_seed_only():
    """The same seed gives the same interval, another seed another one, and the global generator plays no part."""
    rng = np.random.default_rng(1)
    member = np.arange(400) < 200
    scores = rng.normal(size=400) + member
    first, again, other = (bootstrap_tpr(scores, member, 0.05, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(
    ("fpr", "confidence", "draws", "message"),
    [
        (1.5, 0.95, 10, "fpr must be in [0, 1], got 1.5"),
        (0.1, 95, 10, "confidence must be in (0, 1), got 95"),
        (0.1, 0.95, 0, "draws must be at least 1, got 0"),
    ],
)
def test_bootstrap_tpr_refuses(fpr, confidence, draws, message):
    """Rates, confidences and draws out of range are named."""
    with pytest.raises(SignalError) as error:
        bootstrap_tpr(np.array([1.0, 0.0]), np.array([True, False]), fpr, confidence, draws)
    assert str(error.value) == message


def test_cluster_bootstrap_mean_of_two_clusters_is_enumerable():
    """Clusters {0, 1} and {8}: resampled means 0.5, 3, 8 with chances 1/4, 1/2, 1/4 give the ends at 90 %."""
    found = cluster_bootstrap_mean(np.array([0.0, 1.0, 8.0]), np.array([7, 7, 3]), confidence=0.9)
    assert found == MeanInterval(3.0, 0.5, 8.0, found.sd, 3)
    assert found.sd == pytest.approx(19**0.5)
    inner = cluster_bootstrap_mean(np.array([0.0, 1.0, 8.0]), np.array([7, 7, 3]), confidence=0.3)
    assert (inner.low, inner.high) == (3.0, 3.0)


def test_cluster_bootstrap_mean_matches_a_loop():
    """Means of literally resampled clusters of unequal size have the same quantiles, within their own noise."""
    rng = np.random.default_rng(3)
    clusters = np.array([0, 0, 1, 1, 2, 3, 3, 3, 4, 5])
    values = rng.normal(size=10)
    means = []
    for _ in range(1500):
        picked = [values[clusters == c] for c in rng.integers(0, 6, 6)]
        means.append(np.concatenate(picked).mean())
    found = cluster_bootstrap_mean(values, clusters, draws=20_000)
    assert [found.low, found.high] == pytest.approx(np.quantile(means, [0.025, 0.975]).tolist(), abs=0.12)
    assert (found.estimate, found.sd, found.targets) == pytest.approx((values.mean(), values.std(ddof=1), 10))


def test_cluster_bootstrap_mean_is_wider_where_targets_move_together():
    """Six pairs of equal twins are six values, not twelve."""
    values = np.repeat(np.random.default_rng(4).normal(size=6), 2)
    pairs = cluster_bootstrap_mean(values, np.repeat(np.arange(6), 2))
    apart = cluster_bootstrap_mean(values, np.arange(12))
    assert pairs.high - pairs.low > 1.25 * (apart.high - apart.low)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("values", "clusters", "message"),
    [
        ([0.1, 0.2], [0, 0], "a cluster bootstrap needs two independent targets, got 1 clusters; attack more"),
        ([0.1, 0.2], [0], "values and clusters must be equally long, got shapes (2,) and (1,)"),
        ([0.1, np.nan], [0, 1], "1 values are NaN; first is target 1"),
    ],
)
def test_cluster_bootstrap_mean_refuses(values, clusters, message):
    """One cluster has nothing to resample; lengths and NaN are named."""
    with pytest.raises(SignalError) as error:
        cluster_bootstrap_mean(np.array(values), np.array(clusters))
    assert str(error.value) == message


def test_pooled_roc_puts_all_targets_under_one_threshold():
    """Two perfect attacks on different scales: pooled, one's non-member ties the other's member and 7/8 remain."""
    scores = Scores(
        "loss", np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([[True, True], [False, False]]), np.arange(2), np.arange(2)
    )
    fpr, tpr, thresholds = pooled_roc(scores)
    assert (fpr.tolist(), tpr.tolist()) == ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    assert thresholds.tolist() == [np.inf, 2.0, 1.0, 0.0]
    assert pooled_auc(scores) == 0.875
    assert [auc(scores.values[:, t], scores.member[:, t]) for t in range(2)] == [1.0, 1.0]
