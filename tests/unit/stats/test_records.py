"""Named records, coin flips, rank intervals: hand values and loops."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.errors import SignalError
from raymeter.schema import Scores
from raymeter.stats import (
    benjamini_hochberg,
    caught_counts,
    coin_flip,
    flip_rate,
    rank_intervals,
    risk_rank,
    threshold_at_fpr,
    top_overlap,
)


def scores(records: int = 200, targets: int = 8, leak: np.ndarray | float = 1.0) -> Scores:
    """Complementary pairs; members are higher by `leak` (per record)."""
    rng = np.random.default_rng(0)
    half = rng.random((records, targets // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, targets)
    values = rng.normal(size=member.shape) + np.reshape(leak, (-1, 1)) * member
    return Scores("lira", values, member, np.arange(records), np.arange(targets))


CLUSTERS = np.arange(8) // 2


def test_benjamini_hochberg_by_hand():
    """Of p = .01, .02, .03, .5 at 5 %: thresholds .0125, .025, .0375, .05, so the first three are named."""
    p = np.array([0.5, 0.01, np.nan, 0.03, 0.02])
    assert benjamini_hochberg(p, 0.05).tolist() == [False, True, False, True, True]
    assert not benjamini_hochberg(np.array([np.nan, np.nan])).any()


def test_benjamini_hochberg_refuses_an_impossible_rate():
    """The rate is a share."""
    with pytest.raises(SignalError, match=r"fdr must be in \(0, 1\), got 5"):
        benjamini_hochberg(np.array([0.1]), 5)


def test_coin_flip_region_of_127_targets_starts_at_52():
    """Hayes et al.: at 127 trials and 5 % the region starts at k = 52, where the flip rate is .4874."""
    caught, trials = np.arange(128), np.full(128, 127)
    flips, defined = coin_flip(caught, trials)
    assert defined.all()
    assert np.flatnonzero(flips).tolist() == list(range(52, 76))
    assert flip_rate(caught, trials)[52] == pytest.approx(0.4874, abs=5e-5)


def test_flip_rate_counts_disagreeing_pairs():
    """Two of three targets agree with one another, in two of three pairs they do not."""
    got = flip_rate(np.array([0, 1, 2, 1]), np.array([3, 3, 3, 1]))
    assert got[:3] == pytest.approx([0, 2 / 3, 2 / 3])
    assert np.isnan(got[3])


def test_coin_flip_needs_six_trials():
    """With five even a unanimous outcome rejects nothing, so there is no answer; with six there is."""
    flips, defined = coin_flip(np.array([5, 3, 6, 3]), np.array([5, 5, 6, 6]))
    assert defined.tolist() == [False, False, True, True]
    assert flips.tolist() == [False, False, False, True]


@pytest.mark.parametrize(("alpha", "fewest"), [(0.1, 5), (0.05, 6), (0.01, 8)])
def test_coin_flip_is_defined_from_where_a_unanimous_outcome_rejects(alpha, fewest):
    """Regression: six trials were enough at every level, so at 1 % unanimous outcomes counted as coin flips."""
    trials = np.arange(12)
    flips, defined = coin_flip(np.zeros(12, dtype=np.int64), trials, alpha)
    assert defined.tolist() == (trials >= fewest).tolist()
    assert not flips.any()


def test_caught_counts_match_a_loop():
    """Per record, the targets that trained on it and whose threshold it exceeds."""
    found = scores()
    caught, trials, resolvable = caught_counts(found, 0.05)
    assert resolvable and not caught_counts(found, 0.001)[2]
    cuts = [threshold_at_fpr(found.values[~found.member[:, t], t], 0.05) for t in range(8)]
    for record in range(200):
        inside = [t for t in range(8) if found.member[record, t]]
        assert trials[record] == len(inside)
        assert caught[record] == sum(found.values[record, t] > cuts[t] for t in inside)


def test_rank_intervals_match_resampling_pairs():
    """Quantiles of the ranks when pairs of targets are drawn with replacement, weights and all."""
    found = scores(records=20)
    low, high = rank_intervals(found, CLUSTERS, seed=3, draws=40)
    times = np.random.default_rng(3).multinomial(4, np.full(4, 0.25), 40)
    ranks = []
    for drawn in times:
        columns = np.repeat(np.arange(8), drawn[CLUSTERS])
        values, member = found.values[:, columns], found.member[:, columns]
        with np.errstate(invalid="ignore"):
            mean_in = (values * member).sum(axis=1) / member.sum(axis=1)
            mean_out = (values * ~member).sum(axis=1) / (~member).sum(axis=1)
        ranks.append(risk_rank(mean_in, mean_out))
    np.testing.assert_allclose(low, np.quantile(ranks, 0.05, axis=0))
    np.testing.assert_allclose(high, np.quantile(ranks, 0.95, axis=0))


def test_records_that_leak_most_have_tight_ranks_and_are_named_by_both_halves():
    """Ten records that leak ten standard deviations stay within the first ten, whatever targets are drawn."""
    found = scores(leak=np.where(np.arange(200) < 10, 10.0, 0.0))
    low, high = rank_intervals(found, CLUSTERS, seed=0)
    assert (high[:10] <= 10).all() and (low[10:] > 10).all()
    assert top_overlap(found, CLUSTERS, 10) == 1.0
    assert top_overlap(scores(leak=0.0), CLUSTERS, 10) < 0.4


def test_one_pair_has_no_rank_interval():
    """There is nothing to draw anew."""
    found = scores(targets=2)
    low, high = rank_intervals(found, np.array([0, 0]), seed=0)
    assert np.isnan(low).all() and np.isnan(high).all()
    assert np.isnan(top_overlap(found, np.array([0, 0]), 5))


def test_rank_intervals_pass_over_draws_without_a_side():
    """Regression: a record that one target alone trained on fell to the last ranks whenever it was not drawn."""
    member = np.random.default_rng(1).random((300, 6)) < 0.5
    member[0] = [True, False, False, False, False, False]
    values = np.random.default_rng(2).normal(size=(300, 6))
    values[0, 0] = 30.0
    found = Scores("x", values, member, np.arange(300), np.arange(6))
    _, high = rank_intervals(found, np.arange(6), seed=0)
    assert high[0] == 1
    with pytest.raises(SignalError, match="draws must be at least 1, got 0"):
        rank_intervals(found, np.arange(6), seed=0, draws=0)
