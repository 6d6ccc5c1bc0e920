"""One setting on some targets: limits by hand, metrics by formula, and a division that keeps pairs together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from raymeter.attacks import Calibrated, Lira, Rmia
from raymeter.errors import SignalError
from raymeter.schema import Scores, SignalMatrix, Signals
from raymeter.schema.selection import select_matrix
from raymeter.stats import auc, compare_attacks, tpr_at_fpr
from raymeter.stats.log_auc import LOG_AUC_CHANCE, log_auc
from raymeter.sweep.evaluate import evaluate
from raymeter.sweep.limits import Limits, most_references, restrict, rungs
from raymeter.sweep.metric import Metric
from raymeter.sweep.target_halves import divide_targets, without_models_of
from raymeter.training.split import pair_reference


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


@pytest.mark.parametrize("name", ["accuracy", "tpr@", "tpr@1", "tpr@2", "tpr@-1", "tpr@nan"])
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


def test_report_targets_judge_no_selection_target():
    """Selection targets lose them as references; report targets keep all of theirs, and nothing else changes."""
    found = signals()
    selection, report = divide_targets(found, 0.5, seed=0)
    ranking = without_models_of(found, selection, report).audit["log_prob"]
    assert not ranking.reference[np.ix_(selection, report)].any()
    np.testing.assert_array_equal(ranking.reference[report], found.audit["log_prob"].reference[report])
    both = np.ix_(selection, selection)
    np.testing.assert_array_equal(ranking.reference[both], found.audit["log_prob"].reference[both])
    assert most_references(found) == 3
    assert most_references(without_models_of(found, selection, report), selection) == 1


def test_what_report_targets_know_does_not_move_a_ranking():
    """Other signals of the report targets, and no figure of a selection target changes."""
    found = signals()
    selection, report = divide_targets(found, 0.5, seed=0)
    rng = np.random.default_rng(5)

    def other(matrix: SignalMatrix) -> SignalMatrix:
        values = matrix.values.copy()
        values[:, report] = -np.abs(rng.normal(size=values[:, report].shape))
        return SignalMatrix(matrix.kind, values, matrix.member, matrix.reference)

    changed = Signals(
        {kind: other(matrix) for kind, matrix in found.audit.items()},
        {kind: other(matrix) for kind, matrix in found.population.items()},
    )
    for attack in (Rmia(), Rmia(mode="online"), Lira(variance="global"), Calibrated()):
        figures = [
            evaluate(attack, without_models_of(each, selection, report), selection, Limits(), Metric("auc"), seed=0)
            for each in (found, changed)
        ]
        np.testing.assert_array_equal(*figures)
        plain = [evaluate(attack, each, selection, Limits(), Metric("auc"), seed=0) for each in (found, changed)]
        assert (plain[0] != plain[1]).any()  # without that, it would


def test_fewer_references_do_not_change_who_may_judge_whom():
    """A model that a sweep leaves out is no twin: the pairs that were apart stay so."""
    matrix = signals().audit["log_prob"]
    fewer = select_matrix(matrix, references=matrix.reference & (np.arange(8) < 4))
    np.testing.assert_array_equal(fewer.may_not_judge(), matrix.may_not_judge())
    np.testing.assert_array_equal(matrix.may_not_judge(), ~pair_reference(8))


def scored(values: np.ndarray, member: np.ndarray) -> Scores:
    """Scores of all targets."""
    return Scores("some", values, member, np.arange(len(member)), np.arange(member.shape[1]))


def test_a_gain_is_the_mean_of_paired_differences():
    """With the influences of both; what both have in common cancels."""
    rng = np.random.default_rng(2)
    member = np.arange(400)[:, None] % 2 == np.zeros((1, 6))
    common = rng.normal(size=(400, 6)) + member * rng.uniform(0, 2, 6)
    first, second = scored(common + 0.3 * member, member), scored(common, member)
    metric, clusters = Metric("auc"), np.array([0, 0, 1, 1, 2, 2])
    of = [[auc(s.values[:, t], s.member[:, t]) for t in range(6)] for s in (first, second)]
    differences = np.subtract(*of)
    found = metric.gain(first, second, clusters)
    assert found.estimate == pytest.approx(differences.mean())
    (expected,) = compare_attacks([first, second], clusters)
    assert (found.low, found.high) == pytest.approx((expected.auc.low, expected.auc.high))
    same = metric.gain(first, first, clusters)
    assert (same.estimate, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("name", ["auc", "log_auc", "tpr@0.1"])
def test_the_gain_within_one_cluster_covers_the_truth(name):
    """A paired bootstrap of the records: over 60 draws its 95 % interval holds the gain of a large sample."""
    metric, rng, one = Metric(name), np.random.default_rng(3), np.zeros(1, dtype=np.int64)

    def draw(size: int) -> tuple[Scores, Scores]:
        member = np.arange(size)[:, None] % 2 == 0
        first = rng.normal(size=(size, 1)) + member
        return scored(first, member), scored(first + rng.normal(size=(size, 1)), member)

    large = draw(200_000)
    truth = np.subtract(*(metric.of(s.values[:, 0], s.member[:, 0]) for s in large))
    inside = [(g := metric.gain(*draw(500), one)).low <= truth <= g.high for _ in range(60)]
    assert sum(inside) >= 51  # fewer has probability 0.0005 at 95 %


def test_log_auc_of_one_cluster_has_a_width():
    """Its interval is a bootstrap's: around the estimate, narrower with more records."""
    rng, one = np.random.default_rng(4), np.zeros(1, dtype=np.int64)
    widths = []
    for size in (400, 6400):
        member = np.arange(size)[:, None] % 2 == 0
        found = Metric("log_auc").interval(scored(rng.normal(size=(size, 1)) + member, member), one)
        assert found.low < found.estimate < found.high
        widths.append(found.high - found.low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.4)


def test_a_rate_below_one_false_positive_is_not_resolvable():
    """0.1 % of 500 non-members is half a record."""
    member = np.arange(1000)[:, None] % 2 == 0
    few = scored(np.zeros((1000, 1)), member)
    assert not Metric("tpr@0.001").resolvable(few)
    assert Metric("tpr@0.01").resolvable(few) and Metric("tpr@0").resolvable(few) and Metric("auc").resolvable(few)


def test_chance_is_what_scores_without_meaning_reach():
    """1/2, 0.145, and the rate itself."""
    member = np.arange(400_000) % 2 == 0
    scores = np.random.default_rng(6).normal(size=400_000)
    for name in ("auc", "log_auc", "tpr@0.05"):
        assert Metric(name).of(scores, member) == pytest.approx(Metric(name).chance, abs=0.004)
    assert pytest.approx(0.1446, abs=1e-4) == LOG_AUC_CHANCE
