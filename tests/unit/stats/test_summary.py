"""Means over dependent targets, and the table with one row per record."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.errors import SignalError
from raymeter.schema import Scores
from raymeter.stats import auc_figure, mean_over_targets, risk_rank, summarise, tpr_figure
from raymeter.training.split import pair_reference


def scores(targets: int = 4, records: int = 300, attack: str = "lira", seed: int = 0) -> Scores:
    """Scores of complementary pairs, one standard deviation higher for members."""
    rng = np.random.default_rng(seed)
    half = rng.random((records, (targets + 1) // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, -1)[:, :targets]
    values = rng.normal(size=member.shape) + member
    ids = np.arange(records, dtype=np.int64) + 1000
    return Scores(attack, values, member, ids, np.arange(targets, dtype=np.int64))


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


def test_summarise_means_are_those_of_the_figures():
    """The mean of an attack is `mean_over_targets` of the figures of its targets, and each target keeps its own."""
    found = scores()
    (result,), _ = summarise([found], pair_reference(4), None)
    columns = list(zip(found.values.T, found.member.T, strict=True))
    pairs = np.array([0, 0, 1, 1])
    assert result.auc == mean_over_targets([auc_figure(*column) for column in columns], pairs)
    rates = [tpr_figure(*column, 0.01) for column in columns]
    assert result.tpr_at_fpr["0.01"] == mean_over_targets(rates, pairs)
    assert [target.tpr_at_fpr["0.01"] for target in result.targets] == [rate.interval for rate in rates]


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
