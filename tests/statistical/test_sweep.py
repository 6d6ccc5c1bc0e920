"""Where nothing leaks, choosing the best of many settings looks like a finding, and the honest figure does not."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.schema import SignalMatrix, Signals
from raymeter.sweep.evaluate import evaluate
from raymeter.sweep.metric import Metric
from raymeter.sweep.space import build_sweep, settings_of
from raymeter.sweep.target_halves import divide_targets, without_models_of
from raymeter.training.split import pair_reference

MODELS, RECORDS, SWEEPS = 6, 120, 300
SPACE = [  # attacks that compare members with non-members of the references: what targets share shows most in them
    {"attack": "lira", "variance": ["nig", "global", "pooled"]},
    {"attack": "rmia", "mode": "online"},
    {"attack": "calibrated", "form": ["watson", "sablayrolles"]},
    {"attack": "base"},
]


def null_signals(seed: int) -> Signals:
    """Six models in pairs that leak nothing, few records."""
    rng = np.random.default_rng(seed)
    half = rng.random((RECORDS, MODELS // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(RECORDS, MODELS)

    def kinds(member: np.ndarray) -> dict[str, SignalMatrix]:
        gap = (2 * rng.normal(size=(len(member), 1)) + rng.normal(size=member.shape)).astype(np.float32)[:, :, None]
        both = {"logit_gap": gap, "log_prob": -np.logaddexp(np.float32(0), -gap)}
        return {kind: SignalMatrix(kind, v, member, pair_reference(MODELS)) for kind, v in both.items()}

    return Signals(kinds(member), kinds(np.zeros((50, MODELS), dtype=bool)))


@pytest.fixture(scope="module")
def sweeps() -> tuple[np.ndarray, np.ndarray]:
    """The winner's AUC where it was chosen and elsewhere, of many sweeps."""
    settings = settings_of(build_sweep({"run": {"log_dir": "x"}, "sweep": {"space": SPACE}}))
    metric, found = Metric("auc"), []
    for seed in range(SWEEPS):
        signals = null_signals(seed)
        selection, report = divide_targets(signals, 0.5, seed)
        ranking = without_models_of(signals, selection, report)
        figures = [evaluate(s.attack, ranking, selection, s.limits, metric, seed).mean() for s in settings]
        winner = settings[int(np.argmax(figures))]
        honest = evaluate(winner.attack, signals, report, winner.limits, metric, seed).mean()
        found.append((max(figures), honest))
    optimistic, honest_figures = np.array(found).T
    return optimistic, honest_figures


def test_the_honest_figure_of_a_sweep_on_nothing_is_chance(sweeps):
    """Where it was chosen the winner's mean AUC is far above 1/2, elsewhere within 2.6 standard errors of it."""
    optimistic, honest = sweeps
    error = honest.std(ddof=1) / np.sqrt(SWEEPS)
    assert optimistic.mean() > 0.5 + 5 * error
    assert abs(honest.mean() - 0.5) < 2.6 * error


def test_the_honest_figure_does_not_follow_the_optimistic_one(sweeps):
    """They are uncorrelated: with report targets among the references of the selection, r is 0.19 here."""
    r = np.corrcoef(*sweeps)[0, 1]
    assert abs(r) < 2.6 / np.sqrt(SWEEPS)
