"""P-values of a leak, record by record: against a loop over all labellings, and where models or signals are odd."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from designs import matrix, pairs

from raymeter.analysis.leak_test import leak_p_values


def test_p_values_count_the_other_labellings():
    """With one variance for all records, p is a count over the five other ways to label each record's models."""
    rng, records = np.random.default_rng(0), 40
    member = pairs(records, 4)
    residuals = rng.permuted(np.tile([-2.0, -0.5, 0.5, 2.0], (records, 1)), axis=1)  # the same variance, median 0
    p = leak_p_values(matrix(residuals, member))
    # models have levels and spreads of their own: the loop takes them off as the docstring says
    aligned = residuals - np.median(residuals, axis=1, keepdims=True)
    aligned = aligned - np.median(aligned, axis=0)
    aligned = (aligned / np.median(np.abs(aligned), axis=0)).astype(np.float32)

    def statistic(row: int, inside: tuple[int, ...], prior: float) -> float:
        own, other = aligned[row, list(inside)], aligned[row, [m for m in range(4) if m not in inside]]
        variance = ((own - own.mean()) ** 2).sum() / 2 + ((other - other.mean()) ** 2).sum() / 2
        return (own.mean() - other.mean()) / (variance + prior) ** 0.5

    ours = [tuple(np.flatnonzero(member[row])) for row in range(records)]
    # without a prior the order of the statistics is that of plain t, which is what a prior of nothing leaves
    observed = [statistic(row, ours[row], 0.0) for row in range(records)]
    null = [statistic(row, way, 0.0) for row in range(records) for way in combinations(range(4), 2) if way != ours[row]]
    counted = np.array([(1 + sum(n >= o - 1e-9 for n in null)) / (1 + len(null)) for o in observed])
    assert np.corrcoef(np.argsort(np.argsort(p)), np.argsort(np.argsort(counted)))[0, 1] > 0.9
    assert p.min() >= 1 / (1 + 5 * records) - 1e-12


def test_no_p_value_is_below_what_the_pairs_can_show():
    """Two pairs label a record in five other ways: the least p of 100 records is 1 / 501, however strong the leak."""
    member = pairs(100, 4)
    leak = np.arange(100) < 10
    values = np.random.default_rng(1).normal(size=(100, 4)) + 1000 * (member & leak[:, None])
    p = leak_p_values(matrix(values, member))
    assert p[leak] == pytest.approx(1 / 501, rel=0.01)


def test_they_repeat_and_follow_the_records():
    """The same seed gives the same p-values, whatever the order of the records."""
    member = pairs(80, 8)
    values = np.random.default_rng(4).normal(size=(80, 8)) + 2 * member * (np.arange(80)[:, None] < 8)
    p, order = leak_p_values(matrix(values, member)), np.random.default_rng(5).permutation(80)
    np.testing.assert_array_equal(p, leak_p_values(matrix(values, member)))
    np.testing.assert_allclose(leak_p_values(matrix(values[order], member[order])), p[order], rtol=1e-6)
    assert p[:8].mean() < p[8:].mean()


def test_p_values_are_undefined_without_spread_or_a_side():
    """Constant signals, and a record that every model trained on, have none; nor have two models."""
    member = pairs(30, 6)
    values = np.random.default_rng(6).normal(size=(30, 6))
    values[0] = 0.0
    member[1] = True
    p = leak_p_values(matrix(values, member))
    assert np.isnan(p[:2]).all() and ((p[2:] > 0) & (p[2:] <= 1)).all()
    assert np.isnan(leak_p_values(matrix(values[:, :2], pairs(30, 2)))).all()
    assert np.isnan(leak_p_values(matrix(np.zeros((30, 6)), pairs(30, 6)))).all()
