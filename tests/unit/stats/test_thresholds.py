"""Transferred thresholds, rates at a fixed threshold and precision at a prior: hand values and edge cases."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.errors import SignalError
from raymeter.schema import Scores
from raymeter.schema.results import Interval
from raymeter.stats import clopper_pearson, threshold_at_fpr, tpr_at_fpr
from raymeter.stats.thresholds import ppv, ppv_interval, rates_at_threshold, transferred_threshold


def attacked(values: np.ndarray, member: np.ndarray) -> Scores:
    """Scores of targets 0, 1, 2, ..."""
    return Scores("rmia", values, member, np.arange(len(values)), np.arange(values.shape[1]))


def test_transferred_threshold_is_the_median_over_targets():
    """Three targets on scales 1, 10 and 100: the middle one's 20 % threshold, members left out."""
    non_members = np.arange(5.0)[:, None] * [1.0, 10.0, 100.0]
    scores = attacked(np.vstack([non_members, np.full((2, 3), 1e6)]), np.arange(7)[:, None] >= [5, 5, 5])
    assert transferred_threshold(scores, 0.2) == 30.0
    assert transferred_threshold(scores, 0.0) == 40.0
    assert transferred_threshold(scores, 1.0) == -np.inf


def test_transferred_threshold_matches_a_loop():
    """Each target's own non-members decide, also where targets trained on different records."""
    rng = np.random.default_rng(0)
    values, member = rng.normal(size=(40, 4)), rng.random((40, 4)) < 0.5
    own = sorted(threshold_at_fpr(values[~member[:, t], t], 0.1) for t in range(4))
    assert transferred_threshold(attacked(values, member), 0.1) == pytest.approx((own[1] + own[2]) / 2)


def test_transferred_threshold_flags_by_the_rule_of_tpr_at_fpr():
    """Carried over from a target to itself, the threshold gives that target's rates and false positives."""
    rng = np.random.default_rng(1)
    member = np.arange(100) < 50
    values = rng.integers(0, 40, 100) + 5.0 * member
    oracle = tpr_at_fpr(values, member, 0.1)
    found = rates_at_threshold(values, member, transferred_threshold(attacked(values[:, None], member[:, None]), 0.1))
    assert (found.tpr.estimate, found.false_positives) == (oracle.estimate, oracle.false_positives)


@pytest.mark.parametrize(
    ("values", "member", "fpr", "message"),
    [
        (np.zeros((3, 1)), np.ones((3, 1), bool), 0.1, "target 0: a threshold needs non-members whose scores are numbers, got 0 non-members, 0 with NaN"),
        (np.full((3, 1), np.nan), np.zeros((3, 1), bool), 0.1, "target 0: a threshold needs non-members whose scores are numbers, got 3 non-members, 3 with NaN"),
        (np.zeros((3, 0)), np.zeros((3, 0), bool), 0.1, "a transferred threshold needs at least one reference target, got 0"),
        (np.zeros((3, 1)), np.zeros((3, 1), bool), 1.5, "fpr must be in [0, 1], got 1.5"),
    ],
    ids=["all members", "nan", "no target", "fpr"],
)  # fmt: skip
def test_transferred_threshold_refuses(values, member, fpr, message):
    """Targets without non-members, NaN, no targets and impossible rates are named."""
    with pytest.raises(SignalError) as error:
        transferred_threshold(attacked(values, member), fpr)
    assert str(error.value) == message


def test_rates_at_threshold_check_values():
    """2100 and 25 of 25,000 above the threshold: the intervals of science.md 2.2, to every printed digit."""
    above = np.concatenate([np.arange(25_000) < 2100, np.arange(25_000) < 25])
    found = rates_at_threshold(above.astype(float), np.arange(50_000) < 25_000, 0.5)
    assert (found.threshold, found.true_positives, found.false_positives) == (0.5, 2100, 25)
    assert (found.tpr.estimate, found.fpr.estimate) == (0.084, 0.001)
    assert (round(found.tpr.low, 5), round(found.tpr.high, 5)) == (0.08059, 0.08751)
    assert (round(found.fpr.low, 6), round(found.fpr.high, 6)) == (0.000647, 0.001476)


def test_rates_at_threshold_does_not_flag_a_score_equal_to_it():
    """Flagged means above: a tie with the threshold is not."""
    found = rates_at_threshold(np.array([2.0, 3.0, 2.0, 1.0]), np.array([True, True, False, False]), 2.0)
    assert (found.true_positives, found.false_positives) == (1, 0)
    assert found.fpr == clopper_pearson(0, 2)


@pytest.mark.parametrize(("threshold", "tpr", "fpr"), [(np.inf, 0.0, 0.0), (-np.inf, 1.0, 1.0)])
def test_rates_at_threshold_takes_infinite_thresholds(threshold, tpr, fpr):
    """Nobody is above infinity, everybody above minus infinity."""
    found = rates_at_threshold(np.array([1.0, 0.0]), np.array([True, False]), threshold)
    assert (found.tpr.estimate, found.fpr.estimate) == (tpr, fpr)


@pytest.mark.parametrize(
    ("scores", "threshold", "confidence", "message"),
    [
        ([1.0, 0.0], np.nan, 0.95, "threshold must be a number, got nan"),
        ([np.nan, 0.0], 0.5, 0.95, "1 scores are NaN; first at row 0"),
        ([1.0, 0.0], 0.5, 0.0, "confidence must be in (0, 1), got 0.0"),
    ],
)
def test_rates_at_threshold_refuses(scores, threshold, confidence, message):
    """NaN as a score or as a threshold and an empty confidence are named."""
    with pytest.raises(SignalError) as error:
        rates_at_threshold(np.array(scores), np.array([True, False]), threshold, confidence)
    assert str(error.value) == message


@pytest.mark.parametrize(("prior", "expected"), [(0.5, 0.988), (0.1, 0.903), (0.01, 0.459), (0.001, 0.078)])
def test_ppv_check_values(prior, expected):
    """TPR 8.4 % at FPR .1 %: the precisions of science.md 2.3, to every printed digit."""
    assert round(ppv(0.084, 0.001, prior), 3) == expected
    assert ppv_interval(2100, 25_000, 25, 25_000, prior).estimate == pytest.approx(ppv(0.084, 0.001, prior))


@pytest.mark.parametrize(
    ("tpr", "fpr", "prior", "expected"),
    [(0.3, 0.3, 0.2, 0.2), (0.3, 0.0, 0.2, 1.0), (0.0, 0.3, 0.2, 0.0), (0.0, 0.0, 0.2, 0.2), (0.5, 0.1, 0.0, 0.0), (0.5, 0.1, 1.0, 1.0), (0.5, 0.0, 0.0, 0.0)],
)  # fmt: skip
def test_ppv_at_the_ends(tpr, fpr, prior, expected):
    """An attack that guesses keeps the prior, as does one that flags nobody; certainties stay certain."""
    assert ppv(tpr, fpr, prior) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("tpr", "fpr", "prior", "message"),
    [
        (1.1, 0.1, 0.5, "tpr must be in [0, 1], got 1.1"),
        (0.1, -0.1, 0.5, "fpr must be in [0, 1], got -0.1"),
        (0.1, 0.1, float("nan"), "prior must be in [0, 1], got nan"),
    ],
)
def test_ppv_refuses_what_is_no_rate(tpr, fpr, prior, message):
    """The rate that is out of range is named."""
    with pytest.raises(SignalError) as error:
        ppv(tpr, fpr, prior)
    assert str(error.value) == message


def test_ppv_interval_is_clopper_pearson_where_the_sample_has_the_prior():
    """As many members as non-members at prior 1/2: the precision is a plain share of the flagged records."""
    found, plain = ppv_interval(40, 500, 10, 500, 0.5), clopper_pearson(40, 50)
    assert (found.estimate, found.low, found.high) == pytest.approx((plain.estimate, plain.low, plain.high))


def test_ppv_interval_carries_the_bounds_to_another_prior():
    """Odds of the share 40 / 50 are multiplied by (non-members / members) * prior / (1 - prior) = 2 / 9."""
    found, plain = ppv_interval(40, 500, 10, 1000, 0.1), clopper_pearson(40, 50)
    odds = [2 / 9 * share / (1 - share) for share in (plain.estimate, plain.low, plain.high)]
    assert [found.estimate, found.low, found.high] == pytest.approx([o / (1 + o) for o in odds])


@pytest.mark.parametrize("prior", [0.5, 0.1, 0.001])
def test_ppv_interval_without_flagged_records_is_the_prior_and_open(prior):
    """Nothing flagged says nothing: the estimate stays at the prior, the interval is [0, 1]."""
    assert ppv_interval(0, 500, 0, 500, prior) == Interval(prior, 0.0, 1.0)


def test_ppv_interval_without_false_positives_is_not_a_point():
    """A precision of 1 seen on 84 flagged members may still be 0.7 at a prior of 1 in 20; none flagged mirrors it."""
    up, down = ppv_interval(84, 1000, 0, 1000, 0.05), ppv_interval(0, 1000, 84, 1000, 0.95)
    assert (up.estimate, up.high, down.estimate, down.low) == (1.0, 1.0, 0.0, 0.0)
    share = 0.025 ** (1 / 84)
    assert up.low == pytest.approx(0.05 * share / (0.05 * share + 0.95 * (1 - share)))
    assert down.high == pytest.approx(1 - up.low)


@pytest.mark.parametrize(
    ("counts", "prior", "confidence", "message"),
    [
        ((6, 5, 0, 5), 0.5, 0.95, "flagged members must be in 0..members, got 6 of 5"),
        ((0, 5, -1, 5), 0.5, 0.95, "flagged non-members must be in 0..non-members, got -1 of 5"),
        ((0, 5, 0, 0), 0.5, 0.95, "flagged non-members must be in 0..non-members, got 0 of 0"),
        ((1, 5, 1, 5), 2.0, 0.95, "prior must be in [0, 1], got 2.0"),
        ((1, 5, 1, 5), 0.5, 1.0, "confidence must be in (0, 1), got 1.0"),
    ],
)
def test_ppv_interval_refuses(counts, prior, confidence, message):
    """Impossible counts, priors and confidences are named with their values."""
    with pytest.raises(SignalError) as error:
        ppv_interval(*counts, prior, confidence)
    assert str(error.value) == message
