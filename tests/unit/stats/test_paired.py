"""Paired DeLong: hand values, a slow twin and the cases where no variance can be estimated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from raymeter.errors import SignalError
from raymeter.schema.results import Difference
from raymeter.stats.auc import auc, auc_and_variance, placements
from raymeter.stats.paired import auc_difference

MEMBER = np.array([True] * 5 + [False] * 4)
FIRST = np.array([1.0, 2, 3, 4, 5, 0, 1, 2, 3])


def slow_twin(first: np.ndarray, second: np.ndarray, member: np.ndarray) -> tuple[float, float]:
    """Difference and its variance from DeLong's 2 x 2 covariance matrices, pair by pair."""
    v10, v01 = [], []
    for scores in (first, second):
        kernel = np.array([[(x > y) + (x == y) / 2 for y in scores[~member]] for x in scores[member]])
        v10.append(kernel.mean(axis=1))
        v01.append(kernel.mean(axis=0))
    covariance = np.cov(v10) / member.sum() + np.cov(v01) / (~member).sum()
    contrast = np.array([1.0, -1.0])
    return float(np.mean(v10[0]) - np.mean(v10[1])), float(contrast @ covariance @ contrast)


def test_placements_check_value():
    """Five members over 0..3: shares 3/8, 5/8, 7/8, 1, 1 below, and 1, 9/10, 7/10, 1/2 above."""
    above, below = placements(FIRST, MEMBER)
    assert above.tolist() == pytest.approx([0.375, 0.625, 0.875, 1.0, 1.0])
    assert below.tolist() == pytest.approx([1.0, 0.9, 0.7, 0.5])


def test_auc_difference_from_a_constant_attack_is_the_auc_with_its_variance():
    """Against scores that are all tied, DeLong's variance is that of the first AUC: .775 - .5, var .0269791667."""
    found = auc_difference(FIRST, np.zeros(9), MEMBER)
    assert found.estimate == pytest.approx(0.275, abs=1e-12)
    assert found.p_value == pytest.approx(2 * norm.sf(0.275 / 0.0269791667**0.5), abs=1e-8)
    assert found.low == pytest.approx(0.275 - 1.959963985 * 0.0269791667**0.5, abs=1e-8)
    assert found.high == pytest.approx(0.275 + 1.959963985 * 0.0269791667**0.5, abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_auc_difference_matches_the_covariance_matrices(seed):
    """The placements' differences give what DeLong's contrast of two covariance matrices gives, ties included."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 9, (2, 30)).astype(float)
    member = rng.permutation(30) < 12
    estimate, variance = slow_twin(first, second, member)
    found = auc_difference(first, second, member, confidence=0.9)
    assert found.estimate == pytest.approx(estimate, abs=1e-12)
    assert found.high - found.low == pytest.approx(2 * norm.ppf(0.95) * variance**0.5, abs=1e-9)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(estimate) / variance**0.5), abs=1e-9)


def test_auc_difference_is_antisymmetric():
    """Swapped attacks mirror the estimate and the interval, and keep the p-value."""
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 9)) + MEMBER
    forth, back = auc_difference(first, second, MEMBER), auc_difference(second, first, MEMBER)
    mirrored = (-back.estimate, -back.high, -back.low, back.p_value)
    assert (forth.estimate, forth.low, forth.high, forth.p_value) == pytest.approx(mirrored)


def test_auc_difference_is_the_difference_of_the_aucs_and_gains_from_pairing():
    """Attacks that agree are compared more sharply than their two variances alone would allow."""
    rng = np.random.default_rng(2)
    member = np.arange(400) < 200
    first = rng.normal(size=400) + member
    second = first + 0.3 * rng.normal(size=400)
    found = auc_difference(first, second, member)
    apart = sum(auc_and_variance(scores, member)[1] for scores in (first, second)) ** 0.5
    assert found.estimate == pytest.approx(auc(first, member) - auc(second, member), abs=1e-12)
    assert found.high - found.low < 0.5 * 2 * 1.96 * apart


@pytest.mark.parametrize("second", [FIRST, np.exp(FIRST)], ids=["itself", "monotone"])
def test_auc_difference_of_the_same_order_is_zero_with_p_one(second):
    """The same attack on another scale does not differ; how rare a difference is depends on the sample size."""
    bound = 1 - 0.025**0.25
    found = auc_difference(FIRST, second, MEMBER)
    assert (found.estimate, found.p_value) == (0.0, 1.0)
    assert (found.low, found.high) == (pytest.approx(-bound), pytest.approx(bound))


def test_auc_difference_without_variance_is_not_certain():
    """A perfect attack against a constant one: p is a sign test's with the smaller group's four records."""
    found = auc_difference(MEMBER.astype(float), np.zeros(9), MEMBER)
    assert (found.estimate, found.p_value, found.high) == (0.5, 1 / 8, 1.0)
    assert found.low == pytest.approx(0.5 - 1.5 * (1 - 0.025**0.25))


def test_auc_difference_of_one_member_says_nothing():
    """One member has no variance: the whole range and p = 1, never NaN."""
    found = auc_difference(np.array([2.0, 1, 3]), np.array([4.0, 1, 3]), np.array([True, False, False]))
    assert found == Difference(-0.5, -1.0, 1.0, 1.0)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("first", "second", "member", "confidence", "message"),
    [
        (FIRST, FIRST[1:], MEMBER, 0.95, "both attacks must score the same records, got shapes (9,) and (8,)"),
        (FIRST, np.append(FIRST[1:], np.nan), MEMBER, 0.95, "1 scores are NaN; first at row 8"),
        (FIRST, FIRST, ~MEMBER & MEMBER, 0.95, "both members and non-members are needed, got 0 members of 9"),
        (FIRST, FIRST, MEMBER, 95, "confidence must be in (0, 1), got 95"),
    ],
)
def test_auc_difference_refuses(first, second, member, confidence, message):
    """Unequal lengths, NaN, an empty group and a confidence in percent are named."""
    with pytest.raises(SignalError) as error:
        auc_difference(first, second, member, confidence)
    assert str(error.value) == message
