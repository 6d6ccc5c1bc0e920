"""RMIA: hand values, exact ties, what the tuning of offline_a may know."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.attacks import rmia_scores
from raymeter.attacks.common.mean_probability import log_mean_prob
from raymeter.attacks.rmia import TUNING_GRID, tune
from raymeter.errors import SignalError
from raymeter.schema import SignalMatrix


def pairs(seed: int, records: int, models: int, leak: float = 1.0) -> SignalMatrix:
    """Log-probabilities of models in complementary pairs, higher where the model was trained on the record."""
    rng = np.random.default_rng(seed)
    half = rng.random((records, models // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, models)
    gap = rng.normal(size=(records, models, 1)) + leak * member[:, :, None] + 2 * rng.normal(size=(records, 1, 1))
    return SignalMatrix("log_prob", -np.logaddexp(0, -gap).astype(np.float32), member)


def outside(seed: int, records: int, models: int) -> SignalMatrix:
    """A population under the same models."""
    gap = np.random.default_rng(seed).normal(size=(records, models, 1)) * 2
    return SignalMatrix("log_prob", -np.logaddexp(0, -gap).astype(np.float32), np.zeros((records, models), dtype=bool))


def single(probability: list[list[float]], member: list[list[bool]] | None = None) -> SignalMatrix:
    """Probabilities under model 0, the target, and its references."""
    values = np.log(np.array(probability, dtype=np.float32))[:, :, None]
    inside = np.array(member) if member else np.zeros(values.shape[:2], dtype=bool)
    reference = np.ones((1, values.shape[1]), dtype=bool)
    reference[0, 0] = False
    return SignalMatrix("log_prob", values, inside, reference, targets=np.array([0]))


def test_rmia_count_hand_values():
    """The worked example of the style guide: 1 and 1/4 of the population are dominated."""
    audit = single([[0.9, 0.4, 0.5], [0.3, 0.4, 0.2]], [[True, False, False], [False, True, False]])
    population = single([[0.6, 0.5, 0.7], [0.2, 0.3, 0.1], [0.8, 0.7, 0.9], [0.4, 0.4, 0.4]])
    assert rmia_scores(audit, population, form="count").values.tolist() == [[1.0], [0.25]]


def test_rmia_count_is_strict_at_exact_ties():
    """With powers of two the ratios are exact: an equal ratio is not dominated."""
    audit = single([[0.5, 0.25], [0.25, 0.25]], [[False, False], [False, False]])
    population = single([[0.25, 0.125], [0.125, 0.125], [0.125, 0.25]])
    scores = rmia_scores(audit, population, offline_a=1.0, form="count").values[:, 0]
    assert scores.tolist() == [2 / 3, 1 / 3]


def test_rmia_log_ratio_hand_value():
    """log(0.5 / 0.25) less the mean over the population of log 1 and log 4."""
    audit = single([[0.5, 0.25]])
    population = single([[0.25, 0.25], [0.5, 0.125]])
    got = rmia_scores(audit, population, offline_a=1.0).values[0, 0]
    assert got == pytest.approx(np.log(2) - np.log(4) / 2)


def test_rmia_online_is_the_plain_mean_of_references_when_counts_are_equal():
    """With as many IN as OUT references, p(x) is the mean over all of them, as in BASE."""
    signals, population = pairs(0, 30, 8), outside(1, 20, 8)
    log_prob, weights = signals.values[:, :, 0].astype(float), signals.reference.T / 6
    base = log_prob - np.log(np.exp(log_prob) @ weights)
    log_z = population.values[:, :, 0].astype(float)
    base_z = log_z - np.log(np.exp(log_z) @ weights)
    got = rmia_scores(signals, population, mode="online").values
    np.testing.assert_allclose(got, base - base_z.mean(axis=0), atol=1e-12)


def test_rmia_population_is_judged_by_the_references_of_the_target():
    """Regression: a population that came without a reference mask let the target's complement judge z."""
    signals, population = pairs(0, 30, 6), outside(1, 20, 6)
    assert population.reference[0, 1] and not signals.reference[0, 1]
    explicit = SignalMatrix("log_prob", population.values, population.member, signals.reference)
    for form in ("log_ratio", "count"):
        np.testing.assert_array_equal(
            rmia_scores(signals, population, form=form).values, rmia_scores(signals, explicit, form=form).values
        )


def test_log_mean_prob_survives_underflow():
    """Probabilities of exp(-10000) have a mean, also next to a model that is sure of the record."""
    log_prob = np.array([[-10000.0, -10001.0, 0.0]])
    out = np.array([[True, True, True]])
    reference = np.array([[True, True, False], [False, True, True]])
    got = log_mean_prob(log_prob, out, reference)
    np.testing.assert_allclose(got, [[-10000 + np.log1p(np.exp(-1)) - np.log(2), -np.log(2)]], rtol=1e-14)


@pytest.mark.parametrize(
    ("population", "message"),
    [
        (outside(0, 5, 4), "RMIA needs a population under the same models and queries"),
        (outside(0, 0, 6), "RMIA needs a population, records that no model was trained on, and there is none"),
        (pairs(0, 5, 6), "RMIA needs a population that no model trained on, but record 0 of it has a member"),
    ],
)
def test_rmia_refuses_an_impossible_population(population, message):
    """A population of other models, an empty one and one that was trained on are errors."""
    with pytest.raises(SignalError, match=message):
        rmia_scores(pairs(0, 10, 6), population)


def test_rmia_records_the_offline_a_of_each_target():
    """Scores say which a was used, one per target; online uses none."""
    signals, population = pairs(0, 40, 6), outside(1, 9, 6)
    assert rmia_scores(signals, population).settings["offline_a"] == [0.3] * 6
    tuned = rmia_scores(signals, population, offline_a="tuned").settings["offline_a"]
    assert len(tuned) == 6 and set(tuned) <= set(TUNING_GRID)
    assert "offline_a" not in rmia_scores(signals, population, mode="online").settings


def test_tuned_scores_use_the_tuned_value():
    """Each target's column equals the one of a run with that value fixed."""
    signals, population = pairs(3, 60, 8), outside(1, 9, 8)
    scores = rmia_scores(signals, population, offline_a="tuned")
    for t, a in enumerate(scores.settings["offline_a"]):
        fixed = rmia_scores(signals, population, offline_a=a).values[:, t]
        np.testing.assert_allclose(scores.values[:, t], fixed, atol=1e-12)


@pytest.mark.parametrize("target", [0, 3, 5])
def test_tuning_knows_nothing_of_the_target_and_its_complement(target):
    """Flipped members and garbage signals in both columns leave the chosen a as it was."""
    signals = pairs(4, 60, 8)
    reference, targets = signals.reference[[target]], np.array([target])
    matrix = SignalMatrix("log_prob", signals.values, signals.member, reference, targets=targets)
    before = tune([matrix], TUNING_GRID)
    rng = np.random.default_rng(0)
    hidden = [target, target ^ 1]
    for trial in range(3):
        member, values = signals.member.copy(), signals.values.copy()
        member[:, hidden] = ~member[:, hidden] if trial % 2 else rng.permutation(member[:, hidden])
        values[:, hidden] = -1000 * rng.random((60, 2, 1)) * trial
        changed = SignalMatrix("log_prob", values, member, reference, targets=targets)
        assert tune([changed], TUNING_GRID) == before


def test_tuning_skips_stand_ins_without_both_kinds_of_record():
    """A reference model that was trained on all audited records cannot be attacked in a target's place."""
    signals = pairs(5, 50, 8)
    member = signals.member.copy()
    member[:, 2] = True
    chosen = tune([SignalMatrix("log_prob", signals.values, member, signals.reference)], TUNING_GRID)
    assert {a for _, a in chosen} <= set(TUNING_GRID)


def test_tuning_with_two_pairs_says_what_to_do():
    """Four models leave a stand-in without a judge."""
    with pytest.raises(SignalError, match=r"offline_a cannot be tuned for model 0 .*set offline_a: 0.3"):
        rmia_scores(pairs(0, 20, 4), outside(1, 9, 4), offline_a="tuned")
