"""P-values of records are uniform where nothing leaks, named records are rarely false, groups alike stay alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raymeter.analysis.leak_test import leak_p_values
from raymeter.analysis.record_exposure import record_p_values
from raymeter.schema import Scores, SignalMatrix
from raymeter.stats import benjamini_hochberg, group_metrics
from raymeter.training.split import pair_reference

RECORDS = 500


def signals(seed: int, models: int, leak: np.ndarray | float = 0.0) -> SignalMatrix:
    """Complementary pairs, records of differing difficulty and spread; those that leak do so by their own spread."""
    rng = np.random.default_rng(seed)
    half = rng.random((RECORDS, models // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(RECORDS, models)
    hard, spread = 2 * rng.normal(size=(RECORDS, 1)), rng.gamma(4.0, 0.25, (RECORDS, 1))
    values = hard + spread * (rng.normal(size=member.shape) + np.reshape(leak, (-1, 1)) * member)
    return SignalMatrix("logit_gap", values.astype(np.float32)[:, :, None], member, pair_reference(models))


@pytest.mark.parametrize(("models", "most"), [(8, 0.08), (16, 0.065), (64, 0.055)])
def test_membership_p_values_are_uniform_for_non_members(models, most):
    """Where training has an effect, 5 % of the records that a target did not train on are below 5 %."""
    found = [signals(seed, models, leak=1.5) for seed in range(8)]
    p = np.concatenate([record_p_values(each)[~each.member] for each in found])
    assert 0.035 < (p < 0.05).mean() < most
    assert stats.kstest(p, "uniform").statistic < 0.06


def test_membership_p_values_are_no_level_test_of_a_leak():
    """Without any effect their direction is a guess, and they are small too often: why records are not named by them."""
    p = np.concatenate([record_p_values(signals(seed, 16)).ravel() for seed in range(8)])
    assert 0.06 < (p < 0.05).mean() < 0.1


@pytest.mark.parametrize("models", [4, 8, 16, 64])
def test_leak_p_values_keep_their_level(models):
    """Where training on a record has no effect, p-values are uniform, with few models too."""
    p = np.concatenate([leak_p_values(signals(seed, models)) for seed in range(20)])
    assert stats.kstest(p, "uniform").statistic < 0.02
    assert abs((p < 0.01).mean() - 0.01) < 0.004


def test_named_records_are_rarely_false():
    """One in ten records leaks: at an FDR of 10 % about that share of the names is false, and most are found."""
    truth = np.arange(RECORDS) < 50
    false, found = [], []
    for seed in range(40):
        named = benjamini_hochberg(leak_p_values(signals(seed, 16, leak=np.where(truth, 3.0, 0.0))), 0.1)
        false.append((named & ~truth).sum() / max(named.sum(), 1))
        found.append(named[truth].mean())
    assert np.mean(false) < 0.115
    assert np.mean(found) > 0.9


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
