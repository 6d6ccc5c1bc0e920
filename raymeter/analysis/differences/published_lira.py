"""LiRA as other tools publish it: variants of its score that raymeter can recognise but does not use; pure."""

from __future__ import annotations

import numpy as np
import scipy
from jaxtyping import Float

from raymeter.attacks.common.moments import moments
from raymeter.attacks.common.predictive_law import Variance, predictive_law, shared_prior
from raymeter.attacks.lira import Mode
from raymeter.errors import SignalError
from raymeter.schema.signals import Signals

TINY = 1e-30  # which the authors add to a standard deviation


def log_density_scores(signals: Signals, variance: Variance) -> Float[np.ndarray, "examples targets"]:
    """Minus the log-density of the target's signal under the OUT references, summed over queries: two-sided.

    References:
        tensorflow/privacy, mi_lira_2021/plot.py (offline); PrivacyGuard, lira_attack.py.
    """
    matrix = signals.audit["logit_gap"]
    total = np.zeros((len(matrix.values), len(matrix.targets)))
    for query in range(matrix.values.shape[2]):
        values = matrix.values[:, :, query].astype(np.float64)
        prior = None
        if variance != "per_sample":
            prior = shared_prior(matrix, lambda rows, query=query: matrix.values[rows, :, query], "out")  # type: ignore[misc]
        law = predictive_law(moments(values, ~matrix.member, matrix.reference), prior, variance)
        total -= law.log_density(values[:, matrix.targets])
    return total


def published_lira_scores(signals: Signals, mode: Mode, fixed: bool) -> Float[np.ndarray, "examples targets"]:
    """LiRA as the authors' code computes it: medians for means, normal laws, views averaged; higher means member.

    A fixed variance is that of all IN signals for both sides online, of all OUT signals offline. Offline the score is
    minus the log-density, two-sided. Every record counts the same number of references a side: the first ones of those
    that have more.

    References:
        Carlini et al., S&P 2022, arXiv:2112.03570; tensorflow/privacy@3d499e69, mi_lira_2021/plot.py.
    """
    matrix = signals.audit["logit_gap"]
    values = matrix.values.astype(np.float64)
    scores = np.empty((len(values), len(matrix.targets)))
    for t, target in enumerate(matrix.targets):
        own, judges = values[:, target], matrix.reference[t]
        out = _side_of(values, ~matrix.member & judges, "out")
        if mode == "offline":
            spread = np.full_like(own, out.std()) if fixed else out.std(axis=1)
            scores[:, t] = -scipy.stats.norm.logpdf(own, np.median(out, axis=1), spread + TINY).mean(axis=1)
            continue
        inside = _side_of(values, matrix.member & judges, "in")
        spreads = [np.full_like(own, inside.std())] * 2 if fixed else [inside.std(axis=1), out.std(axis=1)]
        densities = [
            scipy.stats.norm.logpdf(own, np.median(side, axis=1), spread + TINY)
            for side, spread in zip((inside, out), spreads, strict=True)
        ]
        scores[:, t] = (densities[0] - densities[1]).mean(axis=1)
    return scores


def _side_of(values: np.ndarray, mask: np.ndarray, side: str) -> Float[np.ndarray, "examples references queries"]:
    """Each record's signals under its first references of a side, as many as every record has."""
    count = int(mask.sum(axis=1).min())
    if count < 1:
        raise SignalError(f"a record has no {side.upper()} reference; train more models")
    rows, columns = np.nonzero(mask & (np.cumsum(mask, axis=1) <= count))
    chosen: np.ndarray = values[rows, columns].reshape(len(values), count, values.shape[2])
    return chosen
