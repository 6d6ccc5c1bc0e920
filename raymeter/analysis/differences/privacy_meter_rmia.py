"""RMIA as Privacy Meter computes it, which ranks the population by the upper half of the references."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from raymeter.errors import SignalError
from raymeter.schema.signals import Signals


def privacy_meter_rmia_scores(signals: Signals, offline_a: float) -> Float[np.ndarray, "examples targets"]:
    """Shares of the population whose ratio a record's exceeds, with Privacy Meter's means over references.

    A record's mean is over the references that did not train on it, which are half of them. The same number is kept of
    a population record's references, none of which trained on it, after sorting: the largest half. That lowers the
    population's ratios, and with so many of them moved alike it hardly changes an AUC, but the values and the ties.

    Args:
        signals: With log_prob of records and of a population; views are averaged as probabilities.
        offline_a: Offline correction a, in [0, 1].

    Raises:
        SignalError: There is no population, or a target has fewer than two references.

    References:
        ml_privacy_meter@e384af8, attacks.py, run_rmia and get_rmia_out_signals.
    """
    matrix, outside = signals.audit["log_prob"], signals.population["log_prob"]
    if not len(outside.values):
        raise SignalError("Privacy Meter's RMIA needs a population; give signals of one")
    p, p_z = (np.exp(side.values.astype(np.float64)).mean(axis=2) for side in (matrix, outside))
    scores = np.empty((len(p), len(matrix.targets)))
    for t, column in enumerate(matrix.targets):
        judges = np.flatnonzero(matrix.reference[t])
        if len(judges) < 2:
            raise SignalError(f"Privacy Meter's RMIA needs two references, target {column} has {len(judges)}")
        out = ~matrix.member[:, judges]
        kept = len(judges) // 2
        out_x = np.sort(p[:, judges] * out, axis=1)[:, -kept:].mean(axis=1)
        out_z = np.sort(p_z[:, judges], axis=1)[:, -kept:].mean(axis=1)
        ratio_x = p[:, column] / ((1 + offline_a) / 2 * out_x + (1 - offline_a) / 2)
        ratio_z = p_z[:, column] / ((1 + offline_a) / 2 * out_z + (1 - offline_a) / 2)
        scores[:, t] = np.searchsorted(np.sort(ratio_z), ratio_x, side="left") / len(ratio_z)
    return scores
