"""One setting on some targets: limits by hand, metrics by formula, and a division that keeps pairs together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from raymeter.attacks import Calibrated, Rmia
from raymeter.errors import SignalError
from raymeter.evaluate import Limits, Metric, divide_targets, evaluate, log_auc, most_references, restrict, rungs
from raymeter.schema import SignalMatrix, Signals
from raymeter.split import pair_reference
from raymeter.stats import auc, tpr_at_fpr


def signals(models: int = 8, records: int = 200) -> Signals:
    """Complementary pairs that leak, two queries."""
    rng = np.random.default_rng(0)
    half = rng.random((records, models // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, models)

    def kinds(member: np.ndarray) -> dict[str, SignalMatrix]:
        gap = (rng.normal(size=(*member.shape, 2)) + member[:, :, None]).astype(np.float32)
        both = {"logit_gap": gap, "log_prob": -np.logaddexp(np.float32(0), -gap)}
        return {kind: SignalMatrix(kind, v, member, pair_reference(models)) for kind, v in both.items()}

    return Signals(kinds(member), kinds(np.zeros((60, models), dtype=bool)))


TARGETS = np.array([2, 3, 6])


def test_without_limits_the_figures_are_those_of_the_attack():
    """Each target's AUC, as the attack on all targets gives it."""
    found = signals()
    whole = Rmia()(found)
    got = evaluate(Rmia(), found, TARGETS, Limits(), Metric("auc"), seed=0)
    assert got == pytest.approx([auc(whole.values[:, t], whole.member[:, t]) for t in TARGETS])


def test_limits_cut_views_population_and_records():
    """The first views, a drawn population, evenly spaced records, and the same draw for the same seed."""
    found = signals()
    cut = restrict(found, TARGETS, Limits(queries=1, population=10, records=50), seed=3)
    assert cut.audit["log_prob"].values.shape == (50, 8, 1)
    assert cut.population["log_prob"].values.shape == (10, 8, 1)
    assert cut.audit["log_prob"].ids[[0, -1]].tolist() == [0, 199]
    assert cut.audit["log_prob"].targets.tolist() == TARGETS.tolist()
    again = restrict(found, TARGETS, Limits(population=10), seed=3).population["log_prob"].ids
    np.testing.assert_array_equal(cut.population["log_prob"].ids, again)


def test_references_are_taken_in_pairs():
    """One reference unit is a pair; all of them are what there was."""
    found = signals()
    few = restrict(found, TARGETS, Limits(references=1), seed=0).audit["logit_gap"].reference
    assert (few.sum(axis=1) == 2).all() and (few[:, ::2] == few[:, 1::2]).all()
    everything = restrict(found, TARGETS, Limits(references=3), seed=0).audit["logit_gap"].reference
    np.testing.assert_array_equal(everything, pair_reference(8)[TARGETS])
    assert most_references(found) == 3


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(references=4), "references: 4 asked for, the stored signals have 3"),
        (Limits(queries=3), "queries: 3 asked for, the stored signals have 2"),
        (Limits(population=61), "population: 61 asked for, the stored signals have 60"),
        (Limits(records=0), "records: 0 asked for, the stored signals have 200"),
    ],
)
def test_more_than_there_is_is_refused(limits, message):
    """Each limit is named with what there is."""
    with pytest.raises(SignalError, match=message):
        evaluate(Calibrated(), signals(), TARGETS, limits, Metric("auc"), seed=0)


def test_metrics_match_their_definitions():
    """TPR at a rate is the step rule's; log_auc of normal scores is the integral over log FPR."""
    rng = np.random.default_rng(1)
    member = np.arange(40_000) < 20_000
    scores = rng.normal(size=40_000) + member
    assert Metric("tpr@0.01").of(scores, member) == tpr_at_fpr(scores, member, 0.01).estimate
    fprs = np.exp(np.linspace(np.log(0.001), 0, 4001))
    tpr = norm.sf(norm.isf(fprs) - 1)
    assert log_auc(scores, member) == pytest.approx(np.trapezoid(tpr, np.linspace(0, 1, 4001)), abs=0.005)
    assert log_auc(np.arange(4.0), np.array([False, True, False, True])) == pytest.approx(
        0.5 * (np.log(0.5) - np.log(0.001)) / -np.log(0.001) + np.log(1 / 0.5) / -np.log(0.001)
    )


@pytest.mark.parametrize("name", ["accuracy", "tpr@", "tpr@2", "tpr@-1"])
def test_unknown_metrics_are_refused(name):
    """The error lists what there is."""
    with pytest.raises(ValueError, match="metric must be auc, log_auc or tpr@<fpr>"):
        Metric(name)


def test_targets_are_divided_by_pairs():
    """A model and its complement are on the same side, for every seed; both sides have some."""
    for seed in range(10):
        selection, report = divide_targets(signals(), 0.5, seed)
        assert sorted([*selection, *report]) == list(range(8))
        assert len(selection) == 4 and set(selection // 2).isdisjoint(report // 2)


def test_one_pair_cannot_be_divided():
    """The winner would be reported on what it was chosen on."""
    found = signals()
    one = {
        k: SignalMatrix(k, m.values, m.member, m.reference[:2], targets=np.arange(2)) for k, m in found.audit.items()
    }
    with pytest.raises(SignalError, match="a sweep needs targets of two complementary pairs"):
        divide_targets(Signals(one, found.population), 0.5, 0)


def test_rungs_grow_to_all_records():
    """1,000, 4,000, 16,000 and all; few records are one rung."""
    assert list(rungs(50_000)) == [1000, 4000, 16_000, 50_000]
    assert list(rungs(800)) == [800]
