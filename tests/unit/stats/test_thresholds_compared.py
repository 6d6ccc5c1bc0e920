"""Thresholds that stand-ins suggest, next to oracle ones; attacks compared over targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymeter.schema import Scores
from raymeter.stats import (
    auc,
    auc_difference,
    compare_attacks,
    compare_thresholds,
    difference_over_targets,
    ppv_interval,
    threshold_at_fpr,
)
from raymeter.stats.figures import auc_influence


def scores(name: str = "lira", shift: float = 1.0, seed: int = 0, targets: int = 4) -> Scores:
    """Normal scores of 500 records under complementary pairs; members are higher by `shift`."""
    rng = np.random.default_rng(seed)
    half = np.random.default_rng(99).random((500, targets // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(500, targets)
    values = rng.normal(size=member.shape) + shift * member
    return Scores(name, values, member, np.arange(500), np.arange(targets))


PAIRS = np.array([0, 0, 1, 1])


def test_compare_thresholds_counts_what_each_threshold_flags():
    """Rates, realised and oracle, and the precision equal counting by hand."""
    found = scores()
    transferred = np.full((4, 1), 1.5)
    comparison = compare_thresholds(found, transferred, [0.01], PAIRS)["0.01"]
    for t in range(4):
        values, member = found.values[:, t], found.member[:, t]
        carried, oracle = comparison.transferred.targets[t], comparison.oracle.targets[t]
        assert carried.threshold == 1.5
        assert carried.tpr.estimate == (values[member] > 1.5).mean()
        assert carried.fpr.estimate == (values[~member] > 1.5).mean()
        assert oracle.threshold == threshold_at_fpr(values[~member], 0.01)
        assert oracle.false_positives == int(0.01 * (~member).sum())
    first = comparison.oracle.targets[0]
    members = int(found.member[:, 0].sum())
    expected = [
        ppv_interval(rate.true_positives, int(m), rate.false_positives, 500 - int(m), 0.1).estimate
        for rate, m in zip(comparison.oracle.targets, found.member.sum(axis=0), strict=True)
    ]
    assert comparison.oracle.ppv["0.1"].estimate == pytest.approx(np.mean(expected))
    assert 0 < first.true_positives < members
    assert list(comparison.oracle.ppv) == ["0.5", "0.1", "0.01"]


def test_compare_thresholds_without_stand_ins_has_only_the_oracle():
    """Where one target has no transferred threshold, none is reported: a mean over some would mislead."""
    transferred = np.full((4, 2), 1.0)
    transferred[2, 1] = np.nan
    found = compare_thresholds(scores(), transferred, [0.01, 0.001], PAIRS)
    assert found["0.01"].transferred is not None
    assert found["0.001"].transferred is None
    assert found["0.001"].oracle.tpr.targets == 4


def test_compare_attacks_is_the_difference_over_targets():
    """Mean difference, interval and p-value are those of the paired differences with the influences of both."""
    first, second = scores("lira", 1.0), scores("rmia", 0.5, seed=1)
    (found,) = compare_attacks([first, second], PAIRS)
    columns = zip(first.values.T, second.values.T, first.member.T, strict=True)
    each = [(auc(a, m) - auc(b, m), auc_influence(a, m) - auc_influence(b, m)) for a, b, m in columns]
    expected = difference_over_targets(each, PAIRS)
    assert (found.first, found.second) == ("lira", "rmia")
    assert found.auc.estimate == pytest.approx(expected.estimate)
    assert (found.auc.low, found.auc.high) == pytest.approx((expected.low, expected.high))
    assert found.auc.p_value == pytest.approx(expected.p_value)


def test_compare_attacks_on_one_target_is_paired_delong():
    """A single target leaves DeLong's comparison of the records."""
    first, second = (
        replace(s, values=s.values[:, :1], member=s.member[:, :1], targets=s.targets[:1])
        for s in (scores("a", 1.0), scores("b", 0.9, seed=2))
    )
    (found,) = compare_attacks([first, second], np.array([0]))
    assert found.auc == auc_difference(first.values[:, 0], second.values[:, 0], first.member[:, 0])


def test_compare_attacks_on_itself_finds_no_difference():
    """Equal attacks: no difference, p = 1; three attacks make three comparisons."""
    found = compare_attacks([scores("a"), scores("b"), scores("c", seed=3)], PAIRS)
    assert [(c.first, c.second) for c in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert (found[0].auc.estimate, found[0].auc.p_value) == (0.0, 1.0)


def test_compare_attacks_that_differ_equally_everywhere_is_not_certain():
    """A perfect attack against a constant one: no spread over pairs, so records have to do, and p is above 0."""
    perfect = scores("perfect")
    perfect = replace(perfect, values=perfect.member.astype(float))
    (found,) = compare_attacks(
        [perfect, replace(perfect, attack="constant", values=np.zeros_like(perfect.values))], PAIRS
    )
    assert found.auc.estimate == 0.5
    assert found.auc.low < 0.5 < found.auc.high
    assert 0 < found.auc.p_value <= 1
