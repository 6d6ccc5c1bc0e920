"""Thresholds an attacker could know, beside those only the list of members gives: rates and precision of both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from raymeter.results import Interval, ThresholdComparison, ThresholdRates, ThresholdSummary
from raymeter.schema import Scores
from raymeter.stats.summary import mean_over_targets
from raymeter.stats.thresholds import ppv_interval, rates_at_threshold
from raymeter.stats.tpr import threshold_at_fpr

PRIORS = (0.5, 0.1, 0.01)


def compare_thresholds(
    scores: Scores,
    transferred: Float[np.ndarray, "targets fprs"],
    fprs: Sequence[float],
    clusters: Int64[np.ndarray, " targets"],
    priors: Sequence[float] = PRIORS,
) -> dict[str, ThresholdComparison]:
    """What thresholds transferred from stand-ins do, beside oracle ones, at each false-positive rate.

    Args:
        scores: One attack on all targets.
        transferred: Thresholds that know nothing of the target (see `attacks.tuning.stand_in_thresholds`);
            NaN where there are none.
        fprs: The rates that the thresholds were asked to keep.
        clusters: Which targets are dependent, see `dependent_targets`.
        priors: Shares of members for which the precision is given.

    Returns:
        One comparison per rate, keyed by its shortest text. The realised rate of a transferred threshold is
        measured, not assumed: it drifts from the rate asked for where targets differ.

    References:
        Carlini et al., S&P 2022, arXiv:2112.03570, section VI; arXiv:2603.07567 (thresholds tuned on the
        target are optimistic); Jayaraman et al., arXiv:2005.10881 (precision at a skewed prior).
    """
    members = list(zip(scores.values.T, scores.member.T, strict=True))
    found = {}
    for position, fpr in enumerate(fprs):
        oracle = [rates_at_threshold(v, m, threshold_at_fpr(v[~m], fpr)) for v, m in members]
        known = transferred[:, position]
        carried = None
        if not np.isnan(known).any():
            rates = [rates_at_threshold(v, m, t) for (v, m), t in zip(members, known, strict=True)]
            carried = _summary(rates, scores, clusters, priors)
        found[f"{fpr:g}"] = ThresholdComparison(carried, _summary(oracle, scores, clusters, priors))
    return found


def _summary(
    rates: Sequence[ThresholdRates], scores: Scores, clusters: np.ndarray, priors: Sequence[float]
) -> ThresholdSummary:
    members, non_members = scores.member.sum(axis=0), (~scores.member).sum(axis=0)

    def precision(t: int, prior: float) -> Interval:
        counts = rates[t].true_positives, int(members[t]), rates[t].false_positives, int(non_members[t])
        return ppv_interval(*counts, prior)

    return ThresholdSummary(
        tpr=mean_over_targets([rate.tpr for rate in rates], clusters),
        fpr=mean_over_targets([rate.fpr for rate in rates], clusters),
        ppv={
            f"{prior:g}": mean_over_targets([precision(t, prior) for t in range(len(rates))], clusters)
            for prior in priors
        },
        targets=tuple(rates),
    )
