"""Resampling intervals, as a check on the closed-form ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int64

from raymeter.errors import SignalError
from raymeter.schema.results import Interval, MeanInterval
from raymeter.stats.roc import divide
from raymeter.stats.tpr import allowed_false_positives, check_confidence, check_rate, threshold_at_fpr

BOOTSTRAP_SEED = 1979


def bootstrap_tpr(
    scores: Float[np.ndarray, " examples"],
    member: Bool[np.ndarray, " examples"],
    fpr: float,
    confidence: float = 0.95,
    draws: int = 1000,
    seed: int = BOOTSTRAP_SEED,
) -> Interval:
    """True-positive rate at a false-positive rate, with a stratified bootstrap's percentile interval.

    Members and non-members are resampled apart, and the step rule of `tpr_at_fpr` is applied to every
    resample, so the threshold moves with the non-members. The interval holds the estimate.

    Args:
        scores: Higher means member.
        fpr: In [0, 1].
        draws: Resamples; at least 1.
        seed: Of the resampling; the same seed gives the same interval.

    Raises:
        SignalError: A score is NaN, a group is empty, fpr is not in [0, 1], the confidence is not in
            (0, 1), or there are no draws.

    Notes:
        Drawn from the bootstrap's exact distribution, with no resample built: the (a + 1)-th largest of n0
        picks with replacement lies at descending position floor(n0 * B), B ~ Beta(a + 1, n0 - a), and the
        members above it are Binomial(n1, share above). Cost O(n log n + draws * log n).
        Simulated coverage of the nominal 95 %: 94-96 % where fpr * n0 >= 5, but 92 % at 2 and 84 % at 1, as
        resamples cannot show how far up the threshold could be. `tpr_at_fpr` stays at 95 % or above there.

    References:
        Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Order statistics of
        uniform variables: David and Nagaraja, Order Statistics (2003).

    Examples:
        >>> scores, member = np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False])
        >>> bootstrap_tpr(scores, member, fpr=0.0)  # in every resample all members are above all non-members
        Interval(estimate=1.0, low=1.0, high=1.0)
    """
    check_rate("fpr", fpr)
    check_confidence(confidence)
    _check_draws(draws)
    members, non_members = divide(scores, member)
    estimate = float(np.mean(members > threshold_at_fpr(non_members, fpr)))
    allowed = allowed_false_positives(fpr, len(non_members))
    rates = resampled_rates(np.sort(members), np.sort(non_members), allowed, draws, np.random.default_rng(seed))
    low, high = np.quantile(rates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))


def cluster_bootstrap_mean(
    values: Float[np.ndarray, " targets"],
    clusters: Int64[np.ndarray, " targets"],
    confidence: float = 0.95,
    draws: int = 2000,
    seed: int = BOOTSTRAP_SEED,
) -> MeanInterval:
    """Mean and standard deviation over targets, with a percentile interval that resamples whole clusters.

    A resample takes as many clusters as there are, with replacement, and averages all of their targets:
    dependent targets (a model and its complement, see `dependent_targets`) come and go together.

    Args:
        values: One estimate per target, for instance its AUC.
        clusters: Cluster number of each target.
        draws: Resamples; at least 1.
        seed: Of the resampling.

    Raises:
        SignalError: Lengths differ, a value is NaN, there are fewer than two clusters, the confidence is
            not in (0, 1), or there are no draws.

    Notes:
        Too short with few clusters, as it knows neither the t-law nor the ddof: its nominal 95 % cover about
        79 % with 4 clusters, 89 % with 8 and 94 % with 30, and it takes the records as given. `mean_over_targets`,
        which is the one reported, does neither; use this where the clusters are many and the values far from
        normal.

    References:
        Davison and Hinkley, Bootstrap Methods and their Application (1997), section 3.8.

    Examples:
        >>> mean = cluster_bootstrap_mean(np.array([0.0, 1.0, 8.0]), np.array([7, 7, 3]), confidence=0.9)
        >>> mean.estimate, mean.low, mean.high  # the means of {0, 1} twice, of both clusters, of {8} twice
        (3.0, 0.5, 8.0)
    """
    check_confidence(confidence)
    _check_draws(draws)
    values, clusters = np.asarray(values, dtype=np.float64), np.asarray(clusters)
    if values.ndim != 1 or values.shape != clusters.shape:
        raise SignalError(f"values and clusters must be equally long, got shapes {values.shape} and {clusters.shape}")
    if np.isnan(values).any():
        raise SignalError(
            f"{int(np.isnan(values).sum())} values are NaN; first is target {int(np.isnan(values).argmax())}"
        )
    numbers, place = np.unique(clusters, return_inverse=True)
    if len(numbers) < 2:
        raise SignalError(
            f"a cluster bootstrap needs two independent targets, got {len(numbers)} clusters; attack more"
        )
    sizes, sums = np.bincount(place), np.bincount(place, weights=values)
    rng = np.random.default_rng(seed)
    times_drawn = rng.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), draws)
    low, high = np.quantile((times_drawn @ sums) / (times_drawn @ sizes), [(1 - confidence) / 2, (1 + confidence) / 2])
    mean = float(values.mean())
    return MeanInterval(
        mean, float(min(low, mean)), float(max(high, mean)), float(values.std(ddof=1)), targets=len(values)
    )


def resampled_rates(
    members: Float[np.ndarray, " members"],
    non_members: Float[np.ndarray, " non_members"],
    allowed: int,
    draws: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " draws"]:
    """True-positive rates of stratified resamples of two ascending samples, at the step rule's threshold.

    Args:
        allowed: False positives that a resample may have at most.
    """
    n1, n0 = len(members), len(non_members)
    if allowed >= n0:
        share = np.full(draws, float(np.mean(members > -np.inf)))
    else:
        # min: a draw of exactly 1.0 would fall off the end
        position = np.minimum((n0 * rng.beta(allowed + 1, n0 - allowed, draws)).astype(np.int64), n0 - 1)
        thresholds = non_members[n0 - 1 - position]
        share = 1 - np.searchsorted(members, thresholds, side="right") / n1
    rates: np.ndarray = rng.binomial(n1, share) / n1
    return rates


def _check_draws(draws: int) -> None:
    if draws < 1:
        raise SignalError(f"draws must be at least 1, got {draws}")
