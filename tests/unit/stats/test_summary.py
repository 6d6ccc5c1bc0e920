"""Means over dependent targets, and the table with one row per record."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from raymeter.errors import SignalError
from raymeter.schema import Scores
from raymeter.schema.results import Interval
from raymeter.stats import dependent_targets, mean_over_targets, risk_rank, summarise
from raymeter.training.split import pair_reference


def scores(targets: int = 4, records: int = 300, attack: str = "lira", seed: int = 0) -> Scores:
    """Scores of complementary pairs, one standard deviation higher for members."""
    rng = np.random.default_rng(seed)
    half = rng.random((records, (targets + 1) // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, -1)[:, :targets]
    values = rng.normal(size=member.shape) + member
    ids = np.arange(records, dtype=np.int64) + 1000
    return Scores(attack, values, member, ids, np.arange(targets, dtype=np.int64))


def intervals(*estimates: float) -> list[Interval]:
    """Estimates with an interval of 0.1 to both sides."""
    return [Interval(e, e - 0.1, e + 0.1) for e in estimates]


def test_dependent_targets_are_the_complementary_pairs():
    """Targets that may not judge one another share a cluster, wherever their columns are."""
    reference = pair_reference(6)
    assert dependent_targets(reference, np.arange(6)).tolist() == [0, 0, 1, 1, 2, 2]
    some = np.array([4, 0, 5])
    assert dependent_targets(reference[some], some).tolist() == [0, 1, 0]


def test_mean_over_targets_is_a_t_interval_over_pairs():
    """Three pairs give two degrees of freedom, however many targets there are."""
    mean = mean_over_targets(intervals(0.5, 0.7, 0.6, 0.7, 0.7, 0.8), np.array([0, 0, 1, 1, 2, 2]))
    half = stats.t.ppf(0.975, 2) * np.std([0.6, 0.65, 0.75], ddof=1) / 3**0.5
    assert mean.estimate == pytest.approx(4 / 6)
    assert (mean.low, mean.high) == pytest.approx((4 / 6 - half, 4 / 6 + half))
    assert mean.sd == pytest.approx(np.std([0.5, 0.7, 0.6, 0.7, 0.7, 0.8], ddof=1))
    assert mean.targets == 6


def test_mean_over_one_target_is_its_own_interval():
    """A single target has no spread between targets to go by."""
    mean = mean_over_targets(intervals(0.6), np.array([0]))
    assert (mean.estimate, mean.low, mean.high, mean.sd, mean.targets) == pytest.approx((0.6, 0.5, 0.7, 0.0, 1))


def test_mean_over_one_pair_is_the_mean_of_the_own_intervals():
    """Complementary targets are one cluster: their difference says nothing about another pair."""
    mean = mean_over_targets(intervals(0.5, 0.7), np.array([0, 0]))
    assert (mean.low, mean.high) == pytest.approx((0.5, 0.7))


def test_mean_over_targets_stays_in_the_unit_interval():
    """Two clusters far apart give a wide interval, but still one of a rate."""
    mean = mean_over_targets(intervals(0.15, 0.85), np.array([0, 1]))
    assert (mean.low, mean.high) == (0.0, 1.0)


def test_mean_over_targets_without_spread_is_not_a_point():
    """Two pairs that agree by chance, for instance at a rate of 0, do not make the rate certain."""
    mean = mean_over_targets([Interval(0.0, 0.0, 0.02)] * 4, np.array([0, 0, 1, 1]))
    assert (mean.estimate, mean.low, mean.high) == (0.0, 0.0, 0.02)


def test_summarise_keys_and_columns():
    """Rates are keyed by their shortest text, and every attack adds its columns."""
    results, records = summarise([scores(), scores(attack="rmia")], pair_reference(4), np.zeros(300, dtype=np.int64))
    assert [result.name for result in results] == ["lira", "rmia"]
    for result in results:
        assert list(result.tpr_at_fpr) == list(result.resolvable) == ["0.01", "0.001", "0"]
        assert [target.target for target in result.targets] == [0, 1, 2, 3]
        assert result.resolvable == {"0.01": True, "0.001": False, "0": True}
        assert result.targets[0].members + result.targets[0].non_members == 300
    names = ("mean_in", "mean_out", "caught_at_1pct", "flip_rate", "coin_flip", "caught_at_0.1pct")
    names += ("rank", "rank_low", "rank_high")
    assert list(records) == ["id", "label", "targets_in", *(f"{a}_{n}" for a in ("lira", "rmia") for n in names)]
    assert {len(column) for column in records.values()} == {300}


def test_summarise_records_match_a_loop():
    """Each row's means and the share of targets that catch it, one cell at a time."""
    found = scores(targets=3)
    _, records = summarise([found], ~np.eye(3, dtype=bool), None)
    assert "label" not in records
    thresholds = []
    for t in range(3):
        outside = np.sort(found.values[~found.member[:, t], t])
        thresholds.append(outside[-1 - int(0.01 * len(outside))])
    for row in range(300):
        inside = found.member[row]
        expected_in = found.values[row, inside].mean() if inside.any() else np.nan
        expected_out = found.values[row, ~inside].mean() if not inside.all() else np.nan
        caught = [found.values[row, t] > thresholds[t] for t in range(3) if inside[t]]
        assert records["lira_mean_in"][row] == pytest.approx(expected_in, nan_ok=True)
        assert records["lira_mean_out"][row] == pytest.approx(expected_out, nan_ok=True)
        assert records["lira_caught_at_1pct"][row] == pytest.approx(np.mean(caught) if caught else np.nan, nan_ok=True)


def test_risk_rank_orders_by_gain_and_keeps_ties_in_order():
    """The largest difference comes first."""
    assert risk_rank(np.array([1.0, 5.0, 2.0, 2.0]), np.array([0.0, 0.0, 1.0, 1.0])).tolist() == [2, 1, 3, 4]


def test_risk_rank_without_a_difference_goes_by_the_score():
    """Regression: with one target no record has a difference, and ranks were mere row numbers."""
    nan = np.nan
    assert risk_rank(np.array([0.5, nan, 2.0, nan]), np.array([nan, 1.0, nan, 3.0])).tolist() == [2, 4, 1, 3]
    assert risk_rank(np.array([9.0, 0.1]), np.array([nan, 0.0])).tolist() == [2, 1]


def test_summarise_names_what_is_missing():
    """A target that no audited record was out of cannot be measured."""
    found = scores(records=20)
    found.member[:, 2] = True
    with pytest.raises(SignalError, match="both members and non-members are needed, got 20 members of 20"):
        summarise([found], pair_reference(4), None)
