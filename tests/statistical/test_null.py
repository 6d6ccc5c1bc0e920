"""Where nothing leaks, nothing is found: every attack, number of models and membership design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from raymeter.attacks import Base, Calibrated, Empirical, Entropy, Lira, Loss, Population, Rmia, Stack, lira_scores
from raymeter.schema import Scores, SignalMatrix, Signals
from raymeter.stats import auc, tpr_at_fpr
from raymeter.training.split import pair_reference

RECORDS, REPEATS, POPULATION, CLASSES = 400, 16, 60, 3

ATTACKS: dict[str, Callable[[Signals], Scores]] = {
    "loss": Loss(),
    "loss confidence": Loss("confidence"),
    "entropy": Entropy("plain"),
    "modified entropy": Entropy(),
    "population": Population(),
    "watson": Calibrated(),
    "sablayrolles": Calibrated("sablayrolles"),
    "empirical": Empirical(),
    "base online": Base(),
    "base offline": Base("offline"),
    **{
        f"rmia {mode} {form}": Rmia(mode=mode, form=form)
        for mode in ("offline", "online")
        for form in ("log_ratio", "count")
    },
    "rmia taylor": Rmia(taylor=4, margin=0.6, temperature=2.0),
    "rmia tuned": Rmia(offline_a="tuned"),
    "rmia temperature tuned": Rmia(temperature="tuned"),
    "stack": Stack((Lira(), Rmia(), Loss())),
    **{
        f"lira {mode} {variance}": Lira(mode, variance)
        for mode in ("online", "offline")
        for variance in ("nig", "per_sample", "global", "pooled")
    },
}
# One reference a side, as four models leave it, is refused by these with an error; see the unit tests.
NEED_SIX = ("rmia tuned", "rmia temperature tuned", "stack", "lira online per_sample", "lira offline per_sample")
CASES = [(attack, models) for attack in ATTACKS for models in (4, 8, 16) if models > 4 or attack not in NEED_SIX]


def pair_members(rng: np.random.Generator, models: int) -> np.ndarray:
    """Complementary pairs: each record is in one model of each."""
    half = rng.permuted(np.tile(np.arange(RECORDS) % 2 == 0, (models // 2, 1)), axis=1).T
    return np.stack([half, ~half], axis=2).reshape(RECORDS, models)


def exact_half_members(rng: np.random.Generator, models: int) -> np.ndarray:
    """Each record is in exactly half of the models, chosen freely."""
    return rng.random((RECORDS, models)).argsort(axis=1) < models // 2


def independent_half_members(rng: np.random.Generator, models: int) -> np.ndarray:
    """Each model is trained on its own random half of the records."""
    return rng.permuted(np.tile(np.arange(RECORDS) % 2 == 0, (models, 1)), axis=1).T


def poisson_members(rng: np.random.Generator, models: int) -> np.ndarray:
    """Every bit is a coin of its own."""
    return rng.random((RECORDS, models)) < 0.5


def signals(rng: np.random.Generator, member: np.ndarray, reference: np.ndarray, leak: float = 0.0) -> Signals:
    """Records of differing difficulty and spread under models that leak `leak` standard deviations."""
    models = member.shape[1]

    def part(member: np.ndarray) -> tuple[dict[str, SignalMatrix], np.ndarray]:
        records = len(member)
        hard, spread = 2 * rng.normal(size=(records, 1)), rng.gamma(4.0, 0.25, (records, 1))
        gap = hard + spread * rng.normal(size=(records, models)) + leak * member
        others = rng.normal(size=(records, models, CLASSES - 1))
        others -= np.log(np.exp(others).sum(axis=2, keepdims=True))  # their logsumexp is 0, so the gap is the logit
        logits = np.concatenate([gap[:, :, None], others], axis=2)[:, :, None].astype(np.float32)
        gap = gap.astype(np.float32)[:, :, None]
        labels = np.zeros(records, dtype=np.int64)
        kinds = {"log_prob": -np.logaddexp(0, -gap), "logit_gap": gap}
        return {kind: SignalMatrix(kind, v, member, reference, labels=labels) for kind, v in kinds.items()}, logits

    audit, logits = part(member)
    outside, others = part(np.zeros((POPULATION, models), dtype=bool))
    return Signals(audit, outside, audit_logits=logits, population_logits=others)


def null_aucs(
    attack: str, design: Callable[[np.random.Generator, int], np.ndarray], models: int, reference: np.ndarray
) -> np.ndarray:
    """[repeats, 2]: mean AUC over targets, and AUC of all targets' scores pooled."""
    found = []
    for seed in range(REPEATS):
        rng = np.random.default_rng([seed, models])
        scores = ATTACKS[attack](signals(rng, design(rng, models), reference))
        per_target = [auc(scores.values[:, t], scores.member[:, t]) for t in range(models)]
        found.append([np.mean(per_target), auc(scores.values.ravel(), scores.member.ravel())])
    return np.array(found)


def one_target(found: Signals, target: int, least: int) -> Signals:
    """One target, and the records that at least so many of the other models trained on, and so many did not.

    Which records those are depends on the other models alone, so it says nothing about the target.
    """
    matrix = found.audit["log_prob"]
    others = np.delete(matrix.member, target, axis=1).sum(axis=1)
    rows = (others >= least) & (others <= matrix.member.shape[1] - 1 - least)

    def narrow(matrix: SignalMatrix, rows: np.ndarray | slice) -> SignalMatrix:
        return replace(
            matrix,
            values=matrix.values[rows],
            member=matrix.member[rows],
            ids=matrix.ids[rows],
            labels=matrix.labels[rows],
            reference=matrix.reference[[target]],
            targets=np.array([target]),
        )

    return Signals(
        {kind: narrow(matrix, rows) for kind, matrix in found.audit.items()},
        {kind: narrow(matrix, slice(None)) for kind, matrix in found.population.items()},
        audit_logits=found.audit_logits[rows],
        population_logits=found.population_logits,
    )


def assert_blind(aucs: np.ndarray) -> None:
    """The mean over repeats is within 4 standard errors of 1/2, and those are small enough to show a shift."""
    error = aucs.std(axis=0, ddof=1) / np.sqrt(len(aucs))
    assert (error < 0.01).all()
    assert (np.abs(aucs.mean(axis=0) - 0.5) < 4 * error).all(), (aucs.mean(axis=0), error)


@pytest.mark.parametrize(("attack", "models"), CASES)
def test_null_pairs_without_the_complement_are_blind(attack, models):
    """With the complement dropped nothing is found where nothing is, per target and pooled."""
    assert_blind(null_aucs(attack, pair_members, models, pair_reference(models)))


@pytest.mark.parametrize("design", [independent_half_members, poisson_members])
@pytest.mark.parametrize(("attack", "models"), CASES)
def test_null_independent_memberships_are_blind(attack, models, design):
    """Where models' memberships are independent, leaving out the target alone is enough."""
    aucs = []
    least = 3 if "tuned" in attack or attack == "stack" else 2 if "per_sample" in attack else 1
    for seed in range(REPEATS):
        rng = np.random.default_rng([seed, models])
        found = signals(rng, design(rng, models), ~np.eye(models, dtype=bool))
        scores = [ATTACKS[attack](one_target(found, target, least)) for target in range(3)]
        aucs.append([np.mean([auc(part.values[:, 0], part.member[:, 0]) for part in scores])])
    assert_blind(np.array(aucs))


# Pooled null AUC as simulated elsewhere, with other records: 0.406, 0.476, 0.429, 0.488.
COUNT_LEAKS = [
    ("lira online global", 4, 0.406),
    ("lira online global", 8, 0.476),
    ("lira online per_sample", 8, 0.429),
    ("lira online per_sample", 16, 0.488),
]


@pytest.mark.parametrize(("attack", "models", "expected"), COUNT_LEAKS)
def test_exact_half_with_only_the_target_left_out_leaks_through_counts(attack, models, expected):
    """Regression of the count leak: pooled AUC is as far from 1/2 as known, although no model leaks anything."""
    aucs = null_aucs(attack, exact_half_members, models, ~np.eye(models, dtype=bool))[:, 1]
    error = aucs.std(ddof=1) / np.sqrt(len(aucs))
    assert abs(aucs.mean() - expected) < 4 * error
    assert aucs.mean() < 0.5 - 4 * error


@pytest.mark.parametrize("models", [4, 8])
def test_keeping_the_complement_of_a_pair_leaks(models):
    """The complement's side of every record is the target's label inverted, so it must not judge."""
    aucs = null_aucs("lira online global", pair_members, models, ~np.eye(models, dtype=bool))[:, 1]
    assert abs(aucs.mean() - 0.5) > 4 * aucs.std(ddof=1) / np.sqrt(len(aucs))


@pytest.mark.parametrize("attack", ["loss", "rmia offline log_ratio", "lira online nig"])
def test_null_tpr_is_the_fpr(attack):
    """Without a leak, 5 % of the members are above the 5 % threshold."""
    rates = []
    for seed in range(REPEATS):
        rng = np.random.default_rng([seed, 77])
        scores = ATTACKS[attack](signals(rng, pair_members(rng, 8), pair_reference(8)))
        rates.append(np.mean([tpr_at_fpr(scores.values[:, t], scores.member[:, t], 0.05).estimate for t in range(8)]))
    # With 200 non-members the expected rate above the 11th largest is 10.5 / 201.
    assert abs(np.mean(rates) - 0.0523) < 4 * np.std(rates, ddof=1) / np.sqrt(REPEATS)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_leak_scores_members_higher(attack):
    """Higher means member, in every attack, mode and form."""
    rng = np.random.default_rng(5)
    scores = ATTACKS[attack](signals(rng, pair_members(rng, 16), pair_reference(16), leak=1.5))
    assert min(auc(scores.values[:, t], scores.member[:, t]) for t in range(16)) > 0.55
    assert auc(scores.values.ravel(), scores.member.ravel()) > 0.55


def test_nig_beats_the_other_variances_with_few_models():
    """With 8 models the prior helps: more members at 1 % than with each record's own variance."""
    rates: dict[str, list[float]] = {"nig": [], "per_sample": []}
    for seed in range(REPEATS):
        rng = np.random.default_rng([seed, 78])
        gaps = signals(rng, pair_members(rng, 8), pair_reference(8), leak=2.0).audit["logit_gap"]
        for variance, found in rates.items():
            scores = lira_scores(gaps, variance=variance)
            found += [tpr_at_fpr(scores.values[:, t], scores.member[:, t], 0.02).estimate for t in range(8)]
    assert np.mean(rates["nig"]) > 1.5 * np.mean(rates["per_sample"])
