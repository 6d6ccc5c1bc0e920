"""P-values of records are uniform where nothing leaks, named records are rarely false, groups alike stay alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raymeter.exposure import combined_p_values, record_p_values
from raymeter.schema import Scores, SignalMatrix
from raymeter.split import pair_reference
from raymeter.stats import benjamini_hochberg, group_metrics

RECORDS = 500


def signals(seed: int, models: int, leak: np.ndarray | float = 0.0) -> SignalMatrix:
    """Complementary pairs, records of differing difficulty and spread; those that leak do so by their own spread."""
    rng = np.random.default_rng(seed)
    half = rng.random((RECORDS, models // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(RECORDS, models)
    hard, spread = 2 * rng.normal(size=(RECORDS, 1)), rng.gamma(4.0, 0.25, (RECORDS, 1))
    values = hard + spread * (rng.normal(size=member.shape) + np.reshape(leak, (-1, 1)) * member)
    return SignalMatrix("logit_gap", values.astype(np.float32)[:, :, None], member, pair_reference(models))


@pytest.mark.parametrize("models", [8, 16, 64])
def test_record_p_values_are_uniform_where_nothing_leaks(models):
    """Over 10 audits the distribution is within .03 of the uniform one, and 5 % of p-values are near 5 %."""
    p = np.concatenate([record_p_values(signals(seed, models)).ravel() for seed in range(10)])
    assert stats.kstest(p, "uniform").statistic < 0.03
    assert abs((p < 0.05).mean() - 0.05) < 0.01
    assert abs((p < 0.01).mean() - 0.01) < 0.005


@pytest.mark.parametrize("models", [8, 16, 64])
def test_combined_p_values_keep_their_level(models):
    """At most about 5 % (1 %) of records that do not leak have a combined p-value below 5 % (1 %)."""
    found = [signals(seed, models) for seed in range(10)]
    p = np.concatenate([combined_p_values(record_p_values(each), each.member) for each in found])
    assert 0.02 < (p < 0.05).mean() < 0.065
    assert (p < 0.01).mean() < 0.016


def test_named_records_are_rarely_false():
    """One in ten records leaks: at an FDR of 10 % the share of false names stays near or below, and most are found."""
    truth = np.arange(RECORDS) < 50
    false, found = [], []
    for seed in range(10):
        each = signals(seed, 16, leak=np.where(truth, 5.0, 0.0))
        named = benjamini_hochberg(combined_p_values(record_p_values(each), each.member), 0.1)
        false.append((named & ~truth).sum() / max(named.sum(), 1))
        found.append(named[truth].mean())
    assert np.mean(false) < 0.13
    assert np.mean(found) > 0.5


def test_groups_alike_are_told_apart_as_often_as_chance_has_it():
    """The largest gap's p-value is below 10 % in about a tenth of audits in which all groups leak alike."""
    small = []
    for seed in range(100):
        rng = np.random.default_rng([seed, 5])
        half = rng.random((300, 2)) < 0.5
        member = np.stack([half, ~half], axis=2).reshape(300, 4)
        values = rng.normal(size=member.shape) + member
        scores = Scores("x", values, member, np.arange(300), np.arange(4))
        groups = rng.integers(0, 5, 300)
        table = group_metrics(scores, groups, np.array([0, 0, 1, 1]), seed, fpr=0.05, permutations=99)
        small.append(table.largest_gap_p_value < 0.1)
    assert 0.02 <= np.mean(small) <= 0.2
