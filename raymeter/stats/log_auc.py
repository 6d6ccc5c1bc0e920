"""The area under the ROC on a logarithmic axis of FPR, with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from raymeter.schema.results import Interval
from raymeter.stats.roc import roc_curve

LOWEST_FPR = 0.001  # log_auc looks at false-positive rates from here to 1
LOG_AUC_CHANCE = (1 - LOWEST_FPR) / -np.log(LOWEST_FPR)
DRAWS, BOOTSTRAP_SEED = 200, 1851


def log_auc(scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]) -> float:
    """Area under the ROC with a logarithmic FPR axis from 0.1 % to 1, divided by its length; chance is 0.145.

    Raises:
        SignalError: A score is NaN, or there are no members or no non-members.
    """
    fpr, tpr, _ = roc_curve(scores, member)
    steps = np.log(np.clip(np.append(fpr, 1.0), LOWEST_FPR, 1.0))
    return float((np.diff(steps) * tpr).sum() / -np.log(LOWEST_FPR))


def log_auc_interval(scores: np.ndarray, member: np.ndarray, alone: bool) -> Interval:
    """One target's log_auc; with percentiles of a stratified bootstrap where it stands `alone`, else no width."""
    estimate = log_auc(scores, member)
    if not alone:
        return Interval(estimate, estimate, estimate)
    draws = stratified_bootstrap(lambda rows: log_auc(scores[rows], member[rows]), member)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))


def stratified_bootstrap(
    figure: Callable[[np.ndarray], float], member: Bool[np.ndarray, " examples"]
) -> Float[np.ndarray, " draws"]:
    """A figure of resamples that take as many members and as many non-members as there are, with replacement.

    Args:
        figure: Of the rows of a resample.
        member: Which rows are members'.
    """
    rng, sides = np.random.default_rng(BOOTSTRAP_SEED), (np.flatnonzero(member), np.flatnonzero(~member))
    return np.array([figure(np.concatenate([rng.choice(side, len(side)) for side in sides])) for _ in range(DRAWS)])
