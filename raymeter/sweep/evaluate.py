"""How well one setting does on some targets of stored signals; pure, and what a sweep repeats thousands of times."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64

from raymeter.attacks import Attack
from raymeter.schema.signals import Signals
from raymeter.sweep.limits import Limits, restrict
from raymeter.sweep.metric import Metric

RESULTS = ("metric", "sd", "records", "error", "seconds")  # what comes of a setting


def evaluate(
    attack: Attack, signals: Signals, targets: Int64[np.ndarray, " chosen"], limits: Limits, metric: Metric, seed: int
) -> Float[np.ndarray, " chosen"]:
    """The metric of each of some targets under one setting.

    Raises:
        SignalError: The attack cannot run within these limits.
    """
    scores = attack(restrict(signals, targets, limits, seed))
    return np.array([metric.of(v, m) for v, m in zip(scores.values.T, scores.member.T, strict=True)])
