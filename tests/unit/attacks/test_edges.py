"""Awkward but possible signals give finite scores without a warning; impossible ones name the first record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymeter.attacks import Base, Calibrated, Empirical, Entropy, Lira, Loss, Population, Rmia, Stack
from raymeter.errors import SignalError
from raymeter.schema import SignalMatrix, Signals
from raymeter.stats import summarise
from raymeter.training.split import pair_reference

LARGEST, SMALLEST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)
ATTACKS = [
    Loss(),
    Loss("confidence"),
    Entropy(),
    Entropy("plain"),
    Population(),
    Calibrated(),
    Calibrated("sablayrolles"),
    Empirical(),
    Base(),
    Base("offline"),
    *(Lira(mode, variance) for mode in ("online", "offline") for variance in ("nig", "global", "pooled")),
    *(Rmia(mode=mode, form=form) for mode in ("online", "offline") for form in ("log_ratio", "count")),
    Rmia(offline_a=1.0),
    Rmia(taylor=8, margin=0.6, temperature=0.5),
]
NEED_SIX = [Lira("online", "per_sample"), Lira("offline", "per_sample"), Rmia(offline_a="tuned"), Stack()]


def signals(gaps: np.ndarray, population: np.ndarray | None = None) -> Signals:
    """Complementary pairs with the given logit gaps [records, models]; the population has the same ones."""
    records, models = gaps.shape
    half = np.random.default_rng(0).permuted(np.tile(np.arange(records) % 2 == 0, (models // 2, 1)), axis=1).T
    member = np.stack([half, ~half], axis=2).reshape(records, models)

    def part(gaps: np.ndarray, member: np.ndarray) -> tuple[dict[str, SignalMatrix], np.ndarray]:
        gap = gaps.astype(np.float32)[:, :, None]
        labels = np.zeros(len(gaps), dtype=np.int64)
        reference = pair_reference(models)
        kinds = {"logit_gap": gap, "log_prob": -np.logaddexp(np.float32(0), -gap)}
        logits = np.stack([gap, np.zeros_like(gap)], axis=3)
        ids = np.arange(len(gaps)) + 500
        return {kind: SignalMatrix(kind, v, member, reference, ids, labels) for kind, v in kinds.items()}, logits

    audit, logits = part(gaps, member)
    population = gaps if population is None else population
    outside, others = part(population, np.zeros(population.shape, dtype=bool))
    return Signals(audit, outside, audit_logits=logits, population_logits=others)


def constant(models: int) -> np.ndarray:
    """Some records have the same signal in every model, some models the same on every record."""
    gaps = np.random.default_rng(1).normal(size=(12, models))
    gaps[:4] = 2.5
    gaps[:, 1] = -1.0
    return gaps


def tied(models: int) -> np.ndarray:
    return np.random.default_rng(2).integers(-1, 2, (12, models)).astype(float)


def extreme(size: float, models: int) -> np.ndarray:
    return np.random.default_rng(3).choice([-size, 0.0, size], (12, models))


CASES = {
    "constant": constant,
    "all equal": lambda models: np.zeros((12, models)),
    "tied": tied,
    "ten thousand": lambda models: extreme(1e4, models),
    "largest float32": lambda models: extreme(LARGEST, models),
    "smallest float32": lambda models: extreme(SMALLEST, models),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_scores_are_finite_with_one_reference_a_side(attack, case):
    """Four models: ties, constant columns and the ends of float32 give numbers, and a summary of them."""
    scores = attack(signals(CASES[case](4)))
    assert np.isfinite(scores.values).all()
    results, _ = summarise([scores], pair_reference(4), None)
    assert np.isfinite([results[0].auc.low, results[0].auc.high]).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("attack", NEED_SIX, ids=str)
def test_scores_are_finite_with_two_references_a_side(attack, case):
    """The same for attacks that cannot do with fewer than six models."""
    assert np.isfinite(attack(signals(CASES[case](8))).values).all()


@pytest.mark.parametrize("attack", [*ATTACKS, *NEED_SIX], ids=str)
def test_a_record_that_every_reference_was_trained_on_is_named(attack):
    """An impossible record is named by its id; attacks without references do not mind."""
    found = signals(np.random.default_rng(4).normal(size=(12, 8)))
    for matrix in found.audit.values():
        matrix.member[7, 1:] = True
    narrow = {k: replace(m, reference=m.reference[:1], targets=m.targets[:1]) for k, m in found.audit.items()}
    found = replace(found, audit=narrow)
    if isinstance(attack, Loss | Entropy | Population):
        assert np.isfinite(attack(found).values).all()
        return
    with pytest.raises(SignalError, match="record 507 has 0 references that are OUT when model"):
        attack(found)


@pytest.mark.parametrize("attack", [*ATTACKS, *NEED_SIX], ids=str)
def test_a_score_does_not_depend_on_how_many_targets_are_asked_for(attack):
    """Attacking one target gives that column of the attack on all."""
    rng = np.random.default_rng(5)
    found = signals(rng.normal(size=(40, 8)), rng.normal(size=(30, 8)))

    def one(kinds: dict[str, SignalMatrix]) -> dict[str, SignalMatrix]:
        return {k: replace(m, reference=m.reference[[3]], targets=m.targets[[3]]) for k, m in kinds.items()}

    alone = attack(replace(found, audit=one(found.audit), population=one(found.population)))
    np.testing.assert_allclose(alone.values[:, 0], attack(found).values[:, 3], rtol=1e-9, atol=1e-9)
