"""The area under the ROC on a logarithmic axis of FPR, with a bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from raymeter.schema.results import Interval
from raymeter.stats.figures import Figure, scaled_figure
from raymeter.stats.roc import divide, roc_curve

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


def log_auc_figure(scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]) -> Figure[Interval]:
    """log_auc with percentiles of a stratified bootstrap, and the influence of each record.

    Raises:
        SignalError: A score is NaN, or there are no members or no non-members.
    """
    estimate = log_auc(scores, member)
    draws = stratified_bootstrap(lambda rows: log_auc(scores[rows], member[rows]), member)
    low, high = np.quantile(draws, [0.025, 0.975])
    interval = Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))
    return scaled_figure(interval, log_auc_influence(scores, member), np.ones(len(member), dtype=bool))


def log_auc_influence(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]
) -> Float[np.ndarray, " examples"]:
    """Influence of each record on log_auc.

    With F(s) the share of non-members at or above s, log_auc is the mean over members of log(1 / F) cut at the
    lowest rate, over the length of the axis. A member counts by its own term; a non-member at s by the members below
    it, each of whose terms it lowers by 1 / F, where that is not cut.

    Raises:
        SignalError: A score is NaN, or there are no members or no non-members.
    """
    members, non_members = divide(scores, member)
    length = -np.log(LOWEST_FPR)
    ascending = np.sort(non_members)
    rates = 1 - np.searchsorted(ascending, members, side="left") / len(non_members)
    terms = -np.log(np.maximum(rates, LOWEST_FPR)) / length
    lowered = np.where(rates > LOWEST_FPR, 1 / np.maximum(rates, LOWEST_FPR), 0.0)
    order = np.argsort(members, kind="stable")
    up_to = np.concatenate([[0.0], np.cumsum(lowered[order])]) / (len(members) * length)
    by_non_member = up_to[np.searchsorted(members[order], non_members, side="right")]
    influence = np.empty(len(member))
    influence[member] = (terms - terms.mean()) / len(members)
    influence[~member] = -(by_non_member - by_non_member.mean()) / len(non_members)
    return influence


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
