"""Where nothing leaks, choosing the best of many settings looks like a finding, and the honest figure does not."""

from __future__ import annotations

import numpy as np

from raymeter.evaluate import Metric, divide_targets, evaluate
from raymeter.schema import SignalMatrix, Signals
from raymeter.split import pair_reference
from raymeter.sweepspace import build_sweep, settings_of

SPACE = [
    {"attack": "rmia", "offline_a": [0.0, 0.5, 1.0], "references": [1, 2, 3]},
    {"attack": "lira", "mode": ["online", "offline"], "variance": ["nig", "global"], "references": [1, 2, 3]},
    {"attack": "calibrated", "form": ["watson", "sablayrolles"], "references": [1, 2, 3]},
    {"attack": "loss"},
]


def null_signals(seed: int) -> Signals:
    """Eight models in pairs that leak nothing, few records."""
    rng = np.random.default_rng(seed)
    half = rng.random((120, 4)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(120, 8)

    def kinds(member: np.ndarray) -> dict[str, SignalMatrix]:
        gap = (2 * rng.normal(size=(len(member), 1)) + rng.normal(size=member.shape)).astype(np.float32)[:, :, None]
        both = {"logit_gap": gap, "log_prob": -np.logaddexp(np.float32(0), -gap)}
        return {kind: SignalMatrix(kind, v, member, pair_reference(8)) for kind, v in both.items()}

    return Signals(kinds(member), kinds(np.zeros((50, 8), dtype=bool)))


def test_the_honest_figure_of_a_sweep_on_nothing_is_chance():
    """Over 40 sweeps of 28 settings: the winner's figure where it was chosen is above 1/2, elsewhere it is not."""
    settings = settings_of(build_sweep({"run": {"log_dir": "x"}, "sweep": {"space": SPACE}}))
    optimistic, honest = [], []
    for seed in range(40):
        signals, metric = null_signals(seed), Metric("auc")
        selection, report = divide_targets(signals, 0.5, seed)
        figures = [evaluate(s.attack, signals, selection, s.limits, metric, seed).mean() for s in settings]
        winner = settings[int(np.argmax(figures))]
        optimistic.append(max(figures))
        honest.append(evaluate(winner.attack, signals, report, winner.limits, metric, seed).mean())
    error = np.std(honest, ddof=1) / np.sqrt(len(honest))
    assert np.mean(optimistic) > 0.5 + 4 * error
    assert abs(np.mean(honest) - 0.5) < 4 * error
