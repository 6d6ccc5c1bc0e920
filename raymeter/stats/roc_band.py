"""A band around the mean ROC curve: for other records and other trainings, as the intervals of its figures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int64

from raymeter.schema.scores import Scores
from raymeter.stats.figures import tpr_influence
from raymeter.stats.means import TwoWaySum, share_interval

MOST_RECORDS = 100_000  # of more, every n-th tells how sure the curve is


def roc_band(
    scores: Scores,
    clusters: Int64[np.ndarray, " targets"],
    fprs: Float[np.ndarray, " points"],
    rates: Callable[[int, Float[np.ndarray, " points"]], Float[np.ndarray, " points"]],
    confidence: float = 0.95,
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Ends of the interval of the mean TPR at each rate, pointwise; NaN where it is 0 or 1 for all targets.

    The variance is that of `TwoWaySum`. A target's own has the binomial part of its members and that of the threshold:
    how far the curve rises within one standard deviation of the false-positive rate.

    Args:
        fprs: In [0, 1].
        rates: The TPRs of a target, by its position, at false-positive rates.
    """
    step = max(1, len(scores.values) // MOST_RECORDS)
    total = TwoWaySum(clusters)
    for t, (values, member) in enumerate(zip(scores.values.T, scores.member.T, strict=True)):
        members = int(member.sum())
        noise = np.sqrt(fprs * (1 - fprs) / (len(member) - members))
        rise = (rates(t, np.minimum(fprs + noise, 1)) - rates(t, np.maximum(fprs - noise, 0))) / 2
        tpr = rates(t, fprs)
        variances = (tpr * (1 - tpr) / members + rise**2) * step
        some, of = values[::step], member[::step]
        influence = [tpr_influence(some, of, fpr, variance) for fpr, variance in zip(fprs, variances, strict=True)]
        total.add(tpr, np.stack(influence) / np.sqrt(step))
    low, high = np.full((2, len(fprs)), np.nan)
    for point, mean in enumerate(total.estimates):
        contrast = (np.arange(len(fprs)) == point).astype(np.float64)
        spread = total.spread(contrast)
        if 0 < mean < 1 and spread.variance > 0:
            low[point], high[point] = share_interval(float(mean), spread, confidence)
    return low, high
