"""Two results compared: paired where they can be, by hand where they are small, and never with other members."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymeter.analysis.comparison import Outcome, compare_outcomes, exposure
from raymeter.errors import DataError
from raymeter.schema import Scores
from raymeter.stats import auc, auc_figure, compare_attacks, dependent_targets, mean_over_targets
from raymeter.training.split import pair_reference

TARGETS, RECORDS = 8, 300
CLUSTERS = dependent_targets(pair_reference(TARGETS), np.arange(TARGETS))


def scores(leak: float, seed: int = 0, noise: int = 0) -> Scores:
    """Complementary pairs; the same seed gives the same members, the same noise the same hardness of records."""
    rng = np.random.default_rng(seed)
    half = rng.random((RECORDS, TARGETS // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(RECORDS, TARGETS)
    values = np.random.default_rng(100 + noise).normal(size=member.shape) + leak * member
    return Scores("rmia", values, member, np.arange(RECORDS) + 50, np.arange(TARGETS))


def outcome(name: str, of: Scores, at_risk: np.ndarray | None = None, label: str = "rmia") -> Outcome:
    columns = zip(of.values.T, of.member.T, strict=True)
    mean = mean_over_targets([auc_figure(*column) for column in columns], CLUSTERS)
    figures = {"auc": {"estimate": mean.estimate, "low": mean.low, "high": mean.high}}
    return Outcome(name, {label: figures}, {label: of}, at_risk)


def test_equal_members_are_paired():
    """The difference is that of two attacks on the same records, with Student's t over pairs of targets."""
    a, b = scores(0.5), scores(0.7)
    found = compare_outcomes(outcome("a", a), outcome("b", b)).attacks["rmia"]
    expected = compare_attacks([b, a], CLUSTERS)[0].auc
    assert found.paired and found.auc == expected
    assert found.auc.estimate > 0 and found.auc.low > 0


def test_other_members_are_not_paired():
    """The standard errors are added as squares: the interval is wider than either."""
    a, b = outcome("a", scores(0.5)), outcome("b", scores(0.7, seed=1, noise=1))
    found = compare_outcomes(a, b).attacks["rmia"]
    assert not found.paired
    assert found.auc.estimate == pytest.approx(found.b.estimate - found.a.estimate)
    halves = [(each.high - each.low) / 2 for each in (found.a, found.b)]
    assert found.auc.high - found.auc.estimate == pytest.approx(np.hypot(*halves), rel=1e-6)


def test_the_same_result_does_not_differ():
    """Difference 0, correlation 1, nobody moved."""
    one = outcome("a", scores(0.5), np.arange(RECORDS) < 7)
    found = compare_outcomes(one, replace(one, name="b"))
    assert found.attacks["rmia"].auc.estimate == 0 and found.attacks["rmia"].auc.p_value == 1
    assert found.movement.correlation == pytest.approx(1)
    assert found.movement.risen == found.movement.fallen == ()
    assert found.movement.named == (7, 7, 7)


def test_only_common_records_are_compared():
    """B has half of the records in another order: the pairs are found by their ids."""
    a, whole = scores(0.5), scores(0.9)
    order = np.random.default_rng(5).permutation(RECORDS)[: RECORDS // 2]
    b = replace(whole, values=whole.values[order], member=whole.member[order], ids=whole.ids[order])
    found = compare_outcomes(outcome("a", a), outcome("b", b))
    rows = np.sort(order)
    differences = [
        auc(whole.values[rows, t], whole.member[rows, t]) - auc(a.values[rows, t], a.member[rows, t])
        for t in range(TARGETS)
    ]
    assert found.attacks["rmia"].paired
    assert found.attacks["rmia"].auc.estimate == pytest.approx(np.mean(differences))
    assert found.movement.records == RECORDS // 2


def test_a_record_that_becomes_exposed_rises():
    """Its scores as a member are raised in B: it rises most, and it is named."""
    a = scores(0.5)
    values = a.values.copy()
    values[17] += 10 * (a.member[17] - 0.5)
    found = compare_outcomes(
        outcome("a", a, np.zeros(RECORDS, dtype=bool)),
        outcome("b", replace(a, values=values), np.arange(RECORDS) == 17),
    ).movement
    assert found.risen[0][0] == 17 + 50 and found.risen[0][2] == pytest.approx(1 - 0.5 / RECORDS)
    assert found.named == (0, 1, 0)


def test_exposure_is_the_gap_in_standing():
    """By hand: three records, two targets; one that was never a member has none."""
    values = np.array([[3.0, 1.0], [2.0, 2.0], [1.0, 3.0]])
    member = np.array([[True, False], [False, True], [False, False]])
    found = exposure(Scores("x", values, member, np.arange(3), np.arange(2)))
    assert found[:2] == pytest.approx([5 / 6 - 1 / 6, 0.5 - 0.5]) and np.isnan(found[2])


def test_attacks_with_different_labels_are_not_compared():
    """What only one side has is reported; nothing in common is an error that names both."""
    a, b = outcome("a", scores(0.5)), outcome("b", scores(0.5), label="lira")
    with pytest.raises(DataError, match="no attack has the same label in both: a has rmia; b has lira"):
        compare_outcomes(a, b)
    both = replace(b, attacks={**b.attacks, **a.attacks}, scores={**b.scores, **a.scores})
    found = compare_outcomes(a, both)
    assert found.only_b == ("lira",) and found.only_a == ()


def test_pools_of_the_same_files_meet_by_their_rows():
    """Record 60 of one pool was compared with record 60 of another that an other seed had drawn."""
    a, b = scores(0.5), scores(0.6)
    rows, classes = np.arange(RECORDS), np.arange(RECORDS) % 3
    first = replace(outcome("a", a), data=("digits", "1f"), places=(rows + 100, classes))
    second = replace(outcome("b", b), data=("digits", "2e"), places=(rows + 300, (rows + 200) % 3))
    found = compare_outcomes(first, second)
    assert found.movement.records == len(set(rows + 100) & set(rows + 300))
    assert all(300 <= record < 400 for record, _, _ in found.movement.risen)
    assert "numbered as in the files of the data" in found.note and not found.attacks["rmia"].paired


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_other_data_have_no_record_in_common(name):
    """Two datasets with as many records were paired, and their records reported as moved; so for files that changed."""
    one = outcome("a", scores(0.5))
    places = np.arange(RECORDS), np.arange(RECORDS) % 3
    first = replace(one, data=("digits", "1f"), places=places)
    second = replace(one, data=(name, "2e"), places=(places[0], places[1][::-1]))
    found = compare_outcomes(first, second)
    assert not found.attacks["rmia"].paired and found.movement is None
    assert f"The data differ (digits against {name})" in found.note
    assert compare_outcomes(first, replace(second, data=first.data)).attacks["rmia"].paired


def test_attacks_of_one_name_and_other_settings_are_told():
    """Two attacks called rmia, one of them counting with a gamma of 2, were compared as if they were one."""
    settings = {"gamma": 1.0, "offline_a": [0.3, 0.3]}, {"gamma": 2.0, "offline_a": [0.4, 0.2]}
    a, b = (outcome(str(i), replace(scores(0.5), settings=each)) for i, each in enumerate(settings))
    assert compare_outcomes(a, b).settings == ("rmia.gamma: 1.0 against 2.0",)
    assert compare_outcomes(a, a).settings == ()
