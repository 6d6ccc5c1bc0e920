"""Groups: rates by hand, a planted difference is found, and shuffled labels are not."""

from __future__ import annotations

import numpy as np
import pytest
from designs import leaky

from raymeter.errors import SignalError
from raymeter.stats import auc, group_metrics, holm, threshold_at_fpr, tpr_at_fpr
from raymeter.stats.group_tests import _moments, _Sums, _sums

CLUSTERS = np.arange(8) // 2


def test_group_metrics_match_a_loop():
    """AUC, TPR and FPR of each group, averaged over targets, one target at a time."""
    found = leaky(np.full(600, 1.0))
    groups = np.arange(600) % 3
    table = group_metrics(found, groups, CLUSTERS, seed=0, permutations=20)
    assert [metrics.group for metrics in table.groups] == ["0", "1", "2"]
    for g, metrics in enumerate(table.groups):
        mine = groups == g
        areas, common, alarms, own = [], [], [], []
        for t in range(8):
            values, member = found.values[:, t], found.member[:, t]
            cut = threshold_at_fpr(values[~member], 0.01)
            areas.append(auc(values[mine], member[mine]))
            common.append((values[mine & member] > cut).mean())
            alarms.append((values[mine & ~member] > cut).mean())
            own.append(tpr_at_fpr(values[mine], member[mine], 0.01).estimate)
        assert metrics.records == 200
        assert metrics.members == pytest.approx(found.member[mine].sum() / 8)
        assert metrics.auc.estimate == pytest.approx(np.mean(areas))
        assert metrics.tpr_common.estimate == pytest.approx(np.mean(common))
        assert metrics.fpr_common.estimate == pytest.approx(np.mean(alarms))
        assert metrics.tpr_own.estimate == pytest.approx(np.mean(own))
        assert not metrics.own_resolvable


def test_a_planted_group_is_found():
    """A tenth of the records leaks three times as much: its p-value and the gap's are small, others' are not."""
    groups = np.where(np.arange(1000) < 100, "rare", np.where(np.arange(1000) < 550, "a", "b"))
    table = group_metrics(leaky(np.where(groups == "rare", 3.0, 1.0)), groups, CLUSTERS, seed=0)
    rare = table.groups[2]
    assert rare.group == "rare"
    assert rare.p_value_holm < 0.01 and table.largest_gap_p_value < 0.01
    assert rare.tpr_common.low > table.groups[0].tpr_common.high
    assert rare.auc.estimate > 0.95


def test_advantages_and_their_distances_match_a_loop():
    """TPR minus FPR of a group against that of all others, over the root of every record's squared influence."""
    rng = np.random.default_rng(5)
    counts = np.stack([rng.integers(0, 3, 30), np.full(30, 4), rng.integers(0, 2, 30), np.full(30, 4)], axis=1)
    place = np.arange(30) % 3
    found = _Sums(_sums(_moments(counts), place, 3))
    average = counts.astype(float)

    def advantage(rows: np.ndarray) -> tuple[float, float]:
        caught, trials, false, others = counts[rows].sum(axis=0)
        tpr, fpr = caught / trials, false / others

        def squared(record: np.ndarray) -> float:
            return ((record[0] - tpr * record[1]) / trials - (record[2] - fpr * record[3]) / others) ** 2

        return tpr - fpr, sum(map(squared, counts[rows])) + np.mean([squared(record) for record in average])

    for g in range(3):
        (own, own_variance), (rest, rest_variance) = advantage(place == g), advantage(place != g)
        assert found.advantages[g] == pytest.approx(own)
        assert found.against_rest()[g] == pytest.approx((own - rest) / (own_variance + rest_variance) ** 0.5)


def test_holm_by_hand():
    """Adjusted p of .01, .04, .03 are .03, .06, .06; NaN stays and does not count."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, np.nan, 0.9])[0] == 1.0
    assert np.isnan(holm([0.5, np.nan])[1])


def test_small_and_single_groups_are_listed():
    """A group without non-members in some target has no AUC; a single group has no p-value. No warnings."""
    found = leaky(np.full(50, 1.0))
    groups = np.zeros(50, dtype=np.int64)
    groups[0] = 1
    table = group_metrics(found, groups, CLUSTERS, seed=0, permutations=10)
    assert table.groups[1].records == 1
    assert (table.groups[1].auc, table.groups[1].tpr_own) == (None, None)
    alone = group_metrics(found, np.zeros(50), CLUSTERS, seed=0, permutations=10)
    assert np.isnan(alone.groups[0].p_value) and np.isnan(alone.largest_gap)


def test_groups_of_another_length_are_refused():
    """One label per record."""
    with pytest.raises(SignalError, match=r"groups must have one label per record, 50, got shape \(49,\)"):
        group_metrics(leaky(np.zeros(50)), np.zeros(49), CLUSTERS, seed=0)
