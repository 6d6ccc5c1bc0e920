"""Nothing is chosen with the labels that a result is measured by; a planted leak is caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymeter.attacks import ATTACKS, Lira, Loss, Qmia, Rmia, Stack, require_blind, stack_scores
from raymeter.attacks.common.stand_ins import stand_ins
from raymeter.attacks.stack import normal_scores
from raymeter.errors import SignalError
from raymeter.schema import QuantilePrediction, Scores, SignalMatrix, Signals
from raymeter.stats import auc
from raymeter.training.split import pair_reference


def audit(models: int = 8, records: int = 120, leak: float = 1.0, seed: int = 0) -> Signals:
    """Complementary pairs that leak, with every kind of signal and logits of three classes."""
    rng = np.random.default_rng(seed)
    half = rng.random((records, models // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, models)
    labels = rng.integers(0, 3, records)

    def part(member: np.ndarray, labels: np.ndarray) -> tuple[dict[str, SignalMatrix], np.ndarray]:
        logits = rng.normal(size=(*member.shape, 1, 3)) + rng.normal(size=(len(member), 1, 1, 1))
        rows = np.arange(len(member))
        logits[rows, :, 0, labels] += leak * member + 1
        own = logits[rows, :, 0, labels]
        others = np.log(np.exp(logits).sum(axis=3)[:, :, 0] - np.exp(own))
        gap = (own - others)[:, :, None].astype(np.float32)
        reference = pair_reference(member.shape[1])
        kinds = {"logit_gap": gap, "log_prob": -np.logaddexp(0, -gap)}
        found = {kind: SignalMatrix(kind, v, member, reference, labels=labels) for kind, v in kinds.items()}
        return found, logits.astype(np.float32)

    inside, logits = part(member, labels)
    outside, others = part(np.zeros((40, models), dtype=bool), rng.integers(0, 3, 40))
    expected = rng.normal(size=(records, models, 1, 2)).astype(np.float32)
    predicted = {Qmia().regressor: QuantilePrediction("gaussian", expected)}
    return Signals(inside, outside, audit_logits=logits, population_logits=others, predicted=predicted)


def tuned_on_the_target(signals: Signals) -> Scores:
    """A leak on purpose: the sign of every score is chosen with the target's own labels."""
    scores = Loss()(signals)
    signs = [np.sign(auc(v, m) - 0.5) for v, m in zip(scores.values.T, scores.member.T, strict=True)]
    return replace(scores, values=scores.values * np.array(signs))


def tuned_on_the_complement(signals: Signals) -> Scores:
    """A leak as in Privacy Meter: offline_a is chosen by attacking the paired model."""
    rmia, grid = Rmia(), (0.0, 0.5, 1.0)
    candidates = [replace(rmia, offline_a=a)(signals) for a in grid]
    areas = [[auc(s.values[:, t ^ 1], s.member[:, t ^ 1]) for t in range(s.values.shape[1])] for s in candidates]
    best = np.argmax(areas, axis=0)
    values = np.stack([candidates[best[t]].values[:, t] for t in range(len(best))], axis=1)
    return replace(candidates[0], values=values)


@pytest.mark.parametrize("leaky", [tuned_on_the_target, tuned_on_the_complement])
def test_a_planted_leak_is_caught(leaky):
    """Choosing with the labels of the target or of its complement is an error that names the target."""
    with pytest.raises(SignalError, match="the scores of model 0 depend on its own members"):
        require_blind(leaky, audit(leak=0.2, seed=3))


@pytest.mark.parametrize(
    "attack",
    [kind() for kind in ATTACKS.values()]
    + [
        Rmia(offline_a="tuned"),
        Rmia(temperature="tuned", offline_a="tuned"),
        Rmia(mode="online", temperature="tuned"),
        Stack((Lira(), Rmia(offline_a="tuned"))),
        Stack((Qmia(), Loss())),
    ],
    ids=str,
)
def test_no_attack_looks_at_its_target_s_labels(attack):
    """Every attack of the table, with everything tuned that can be, passes the guard for several targets."""
    for position in (0, 5):
        require_blind(attack, audit(), position)


def test_a_mask_that_lets_the_complement_judge_does_not_reach_the_tuning():
    """Even where the reference mask allows the complement, stand-ins and their judges are without it."""
    signals = audit().audit["log_prob"]
    careless = replace(signals, reference=~np.eye(8, dtype=bool))
    for t, plan in enumerate(stand_ins(careless)):
        assert t not in plan.columns and (t ^ 1) not in plan.columns
    kept = plan.of(careless)
    assert kept.values.shape == (120, 6, 1)
    for s, own in enumerate(plan.targets):
        assert not kept.reference[s, own] and not kept.reference[s, own ^ 1]


def test_tuned_temperature_is_one_of_the_grid_and_used():
    """Each target has a temperature and an a, and its scores are those of a run with both fixed."""
    signals = audit()
    scores = Rmia(temperature="tuned", offline_a="tuned")(signals)
    chosen = list(zip(scores.settings["temperature"], scores.settings["offline_a"], strict=True))
    assert len(chosen) == 8
    for t, (temperature, a) in enumerate(chosen):
        fixed = Rmia(temperature=temperature, offline_a=a)(signals)
        np.testing.assert_allclose(scores.values[:, t], fixed.values[:, t], atol=1e-12)


def test_a_stack_finds_which_attack_to_trust():
    """A useful score gets nearly all of the weight, noise nearly none, and the stack is no worse."""
    signals = audit(records=400, leak=2.0)

    def noise(found: Signals) -> Scores:
        like = Lira()(found)
        return replace(like, attack="noise", values=np.random.default_rng(1).normal(size=like.values.shape))

    stacked, lira = stack_scores(signals, [Lira(), noise]), Lira()(signals)
    useful, useless = np.array(stacked.settings["weights"]).T
    assert (useful > 10 * np.abs(useless)).all()
    for t in range(8):
        assert auc(stacked.values[:, t], stacked.member[:, t]) > auc(lira.values[:, t], lira.member[:, t]) - 0.01


def test_stack_weights_maximise_the_likelihood():
    """Newton's solution has no slope left, against SciPy's general optimiser."""
    from scipy.optimize import minimize

    from raymeter.attacks.stack import RIDGE, logistic_weights

    rng = np.random.default_rng(0)
    features, member = rng.normal(size=(500, 3)), rng.random(500) < 0.5

    def loss(beta: np.ndarray) -> float:
        odds = features @ beta[:3] + beta[3]
        return float(np.logaddexp(0, np.where(member, -odds, odds)).mean() + RIDGE / 2 * (beta[:3] ** 2).sum())

    expected = minimize(loss, np.zeros(4), tol=1e-12).x[:3]
    np.testing.assert_allclose(logistic_weights(features, member), expected, atol=1e-5)


def test_normal_scores_keep_the_order_and_share_ties():
    """Ranks to normal deviates, symmetric about zero."""
    got = normal_scores(np.array([[5.0], [-1e9], [5.0], [np.finfo(float).max]]))[:, 0]
    assert got[0] == got[2] == pytest.approx(0.0)
    assert got[1] == pytest.approx(-got[3])


def test_a_stack_needs_two_attacks_and_enough_models():
    """One attack is no stack; four models leave a stand-in without a judge."""
    with pytest.raises(ValueError, match="of must list two attacks or more, got 1"):
        Stack((Loss(),))
    with pytest.raises(SignalError, match="the stack cannot be fitted for model 0 .*; train more models"):
        Stack((Lira(), Rmia()))(audit(models=4))


@pytest.mark.parametrize("seed", range(20))
def test_stand_ins_among_few_records_do_not_know_the_targets_labels(seed):
    """Among six records two models are often opposite by accident: which ones says something of their labels."""
    matrix = audit(models=12, records=6, seed=seed).audit["logit_gap"]
    turned = matrix.member.copy()
    turned[:, :2] = ~turned[:, :2]
    before, after = stand_ins(matrix)[0], stand_ins(replace(matrix, member=turned))[0]
    for name in ("rows", "columns", "targets", "reference"):
        np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
