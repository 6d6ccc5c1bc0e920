"""Means over targets that attack the same records: intervals for other records and other trainings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int64
from scipy.sparse.csgraph import connected_components

from raymeter.schema.results import Difference, Interval, MeanInterval, TprEstimate
from raymeter.stats.figures import Figure, variance_of
from raymeter.stats.threads import MOST_POINTS

ROUNDING = 1e-12  # differences of rates below this are none


def dependent_targets(
    reference: Bool[np.ndarray, "targets models"], targets: Int64[np.ndarray, " targets"]
) -> Int64[np.ndarray, " targets"]:
    """Cluster number of each target: targets that may not judge one another share a cluster.

    Examples:
        >>> reference = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]], bool)
        >>> dependent_targets(reference, np.arange(4)).tolist()
        [0, 0, 1, 1]
    """
    linked = ~reference[:, targets]
    return connected_components(linked | linked.T, directed=False)[1].astype(np.int64)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Spread:
    """How sure a mean over targets is.

    Args:
        variance: Of the mean, over records and over trainings.
        df: Degrees of freedom of that variance; infinite where the trainings add nothing to the records.
    """

    variance: float
    df: float

    def quantile(self, confidence: float) -> float:
        """Student's quantile for a two-sided interval."""
        return float(scipy.stats.t.ppf((1 + confidence) / 2, min(self.df, 1e9)))


class TwoWaySum:
    """Estimates and influences of targets, added up into the variance of their means in two ways.

    By records: the influence of each record on the mean, squared and summed. All targets attack the same records,
    so what one record does to all of them does not average out. By trainings: the variance between the means of
    dependent targets (a model and its complement), less what the records of each explain of it alone, which the
    first part has already. Where nothing is left of it, trainings add nothing that can be measured.

    Several figures of each target are added at once (AUCs of several attacks, say), and any linear contrast of
    their means has its spread.

    Args:
        clusters: Which targets are dependent, see `dependent_targets`; targets are added in its order.

    Notes:
        With m(i) the influence of record i on the mean, d_p(i) that of a cluster p less m(i), and e_p the mean of
        the cluster, all of K clusters of one size: records V_r = sum_i m(i)^2, trainings
        V_t = max(0, sum_p (e_p - e)^2 - sum_p,i d_p(i)^2) / (K (K - 1)), variance V_r + V_t, degrees of freedom
        (K - 1) (1 + V_r / V_t)^2, as the records are many (Satterthwaite, Biometrics Bulletin 2, 1946), and at least
        K + 1: with one degree or two at two pairs intervals were wider than the two-way bootstrap's, and hardly
        covered more in simulation. Of millions of records the sums are taken over every n-th. Only clusters whose
        targets are not all there yet are kept.

    References:
        Two-way variance components of designs in which every reader sees every case: Gallas, Academic Radiology 13
        (2006); Cameron, Gelbach, Miller, Journal of Business & Economic Statistics 29 (2011).
    """

    def __init__(self, clusters: Int64[np.ndarray, " targets"]) -> None:
        self._clusters, self._sizes = clusters, np.bincount(clusters)
        self._added = 0
        self._open: dict[int, tuple[int, np.ndarray, np.ndarray]] = {}
        self._weights: list[float] = []  # of each finished cluster
        self._means: list[np.ndarray] = []  # of each finished cluster
        self._influence: np.ndarray | None = None  # of records on the means
        self._alike = bool((self._sizes == self._sizes[0]).all())  # then all clusters have one weight
        self._weighted: np.ndarray | None = None  # the same, each cluster times its weight, where they differ
        self._squares: np.ndarray | None = None

    def add(self, estimates: Float[np.ndarray, " figures"], influence: Float[np.ndarray, "figures examples"]) -> None:
        """Add the next target."""
        cluster, targets = int(self._clusters[self._added]), len(self._clusters)
        self._added += 1
        step = max(1, influence.shape[1] // MOST_POINTS)
        share = influence[:, ::step] * (np.sqrt(step) / targets)
        if cluster in self._open:
            count, total, of_cluster = self._open.pop(cluster)
            of_cluster += share
        else:
            count, total, of_cluster = 0, np.zeros(len(estimates)), share
        count, total = count + 1, total + estimates
        if count < self._sizes[cluster]:
            self._open[cluster] = count, total, of_cluster
            return
        weight = count / targets
        self._weights.append(weight)
        self._means.append(total / count)
        self._add_cluster(of_cluster, weight)

    def _add_cluster(self, of_cluster: Float[np.ndarray, "figures some_examples"], weight: float) -> None:
        squares = of_cluster @ of_cluster.T
        if not self._alike:
            self._weighted = weight * of_cluster + (0 if self._weighted is None else self._weighted)
        if self._influence is None or self._squares is None:
            self._influence, self._squares = of_cluster, squares
        else:
            self._influence += of_cluster
            self._squares += squares

    @property
    def estimates(self) -> Float[np.ndarray, " figures"]:
        """The means over targets."""
        means: np.ndarray = np.array(self._weights) @ np.array(self._means)
        return means

    def spread(self, contrast: Float[np.ndarray, " figures"]) -> Spread:
        """How sure a linear combination of the means is; with one cluster by records alone."""
        assert self._influence is not None and self._squares is not None, "no target was added"
        chosen, weights = np.flatnonzero(contrast), np.array(self._weights)
        influence = contrast[chosen] @ self._influence[chosen]
        by_records, clusters = float(influence @ influence), len(weights)
        if clusters < 2:
            return Spread(by_records, np.inf)
        deviations = (np.array(self._means) - self.estimates) @ contrast
        of_clusters = float(contrast @ self._squares @ contrast)
        weighted = by_records * weights[0]
        if self._weighted is not None:
            weighted = float(contrast[chosen] @ self._weighted[chosen] @ influence)
        return _spread(weights, deviations, by_records, of_clusters, weighted)


def spread_of_products(
    products: Float[np.ndarray, "clusters clusters"],
    estimates: Float[np.ndarray, " targets"],
    clusters: Int64[np.ndarray, " targets"],
) -> Spread:
    """The spread of a mean over targets as `TwoWaySum` has it, from products of influences that are summed already.

    Args:
        products: Of the influences of any two clusters on the mean, summed over records.
        clusters: Which targets are dependent; numbered from 0 on.
    """
    if len(products) < 2:
        return Spread(float(products.sum()), np.inf)
    sizes = np.bincount(clusters)
    weights, means = sizes / len(clusters), np.bincount(clusters, weights=estimates) / sizes
    weighted = float(weights @ products.sum(axis=1))
    return _spread(weights, means - estimates.mean(), float(products.sum()), float(np.trace(products)), weighted)


def _spread(
    weights: Float[np.ndarray, " clusters"],
    deviations: Float[np.ndarray, " clusters"],
    by_records: float,
    of_clusters: float,
    weighted: float,
) -> Spread:
    """The sum of both variances, and its degrees of freedom.

    Args:
        deviations: Of the clusters' means from the mean.
        of_clusters: Sum of the squares of the clusters' influences.
        weighted: Product of the influence of all with that of the clusters times their weights.
    """
    clusters = len(weights)
    explained = of_clusters - 2 * weighted + float(weights @ weights) * by_records
    by_trainings = clusters / (clusters - 1) * float(((weights * deviations) ** 2).sum() - explained)
    if by_trainings <= ROUNDING**2:
        return Spread(by_records, np.inf)
    variance = by_records + by_trainings
    return Spread(variance, max(clusters + 1, (clusters - 1) * (variance / by_trainings) ** 2))


def mean_over_targets(
    figures: Iterable[Figure[Interval] | Figure[TprEstimate]],
    clusters: Int64[np.ndarray, " targets"],
    confidence: float = 0.95,
) -> MeanInterval:
    """Mean and standard deviation over targets, with an interval for other records and other trainings.

    The variance is that of `TwoWaySum`; the interval is Jeffreys' for a share of as many independent records as
    have that variance, so that it stays within [0, 1] and is not symmetric near its ends. A single target has its
    own interval; where all estimates are 0, or all 1, the mean of their own intervals is given.

    Args:
        figures: One per target, in the order of `clusters`; each is forgotten once it is added.
        clusters: Which targets are dependent, see `dependent_targets`.
        confidence: Of the interval; a single target keeps its own 95 %.

    References:
        The effective sample size of a share: Korn and Graubard, Survey Methodology 24 (1998).

    Examples:
        >>> half = np.array([0.0625, -0.0625, -0.0625, 0.0625])  # both targets hang on the same records
        >>> area = Figure(Interval(0.75, 0.505, 0.995), half)
        >>> mean = mean_over_targets([area, area], np.array([0, 1]))
        >>> mean.estimate, round(mean.low, 2), round(mean.high, 2), mean.sd, mean.targets
        (0.75, 0.47, 0.92, 0.0, 2)
    """
    collected = MeanOverTargets(clusters)
    for figure in figures:
        collected.add(figure)
    return collected.interval(confidence)


class MeanOverTargets:
    """`mean_over_targets`, one figure after another: for those who make several figures of each target."""

    def __init__(self, clusters: Int64[np.ndarray, " targets"]) -> None:
        self._sum = TwoWaySum(clusters)
        self._intervals: list[Interval | TprEstimate] = []

    def add(self, figure: Figure[Interval] | Figure[TprEstimate]) -> None:
        """Add the figure of the next target."""
        self._sum.add(np.array([figure.interval.estimate]), figure.influence[None])
        self._intervals.append(figure.interval)

    def interval(self, confidence: float = 0.95) -> MeanInterval:
        """The mean of all targets, once each was added."""
        return interval_over_targets(self._intervals, self._sum.spread(np.ones(1)), confidence)


def interval_over_targets(
    intervals: Sequence[Interval | TprEstimate], spread: Spread, confidence: float = 0.95
) -> MeanInterval:
    """What `mean_over_targets` says, from the targets' own intervals and the spread of their mean."""
    estimates = np.array([interval.estimate for interval in intervals])
    mean = float(estimates.mean())
    sd = float(estimates.std(ddof=1)) if len(estimates) > 1 else 0.0
    # influences that cancel out, of a pair whose scores say nothing, leave a variance of rounding alone
    nothing = ROUNDING * max(variance_of(interval) for interval in intervals)
    if len(intervals) == 1 or not 0 < mean < 1 or spread.variance <= nothing:
        low = float(np.mean([interval.low for interval in intervals]))
        high = float(np.mean([interval.high for interval in intervals]))
    else:
        low, high = share_interval(mean, spread, confidence)
    return MeanInterval(mean, min(low, mean), max(high, mean), sd, len(estimates))


def share_interval(share: float, spread: Spread, confidence: float) -> tuple[float, float]:
    """Jeffreys' interval of a share in (0, 1) of as many records as would give it the variance of the spread."""
    inflation = (spread.quantile(confidence) / scipy.stats.norm.ppf((1 + confidence) / 2)) ** 2
    records = share * (1 - share) / (spread.variance * inflation)
    alpha = (1 - confidence) / 2
    low, high = scipy.stats.beta.ppf([alpha, 1 - alpha], share * records + 0.5, (1 - share) * records + 0.5)
    return float(low), float(high)


def difference_over_targets(
    differences: Iterable[tuple[float, Float[np.ndarray, " examples"]]],
    clusters: Int64[np.ndarray, " targets"],
    confidence: float = 0.95,
) -> Difference | None:
    """Mean of paired differences over targets, with Student's t on the variance of `TwoWaySum`.

    Args:
        differences: Per target the difference, and the influence of each record on it.
        clusters: Which targets are dependent, see `dependent_targets`.
        confidence: In (0, 1).

    Returns:
        The difference with its interval, within [-1, 1], and two-sided p-value; None where no record has any
        influence, so that nothing can be said of its variance.

    Examples:
        >>> influence = np.array([0.03, -0.03, 0.04, -0.04])
        >>> difference = difference_over_targets([(0.1, influence), (0.1, influence)], np.array([0, 1]))
        >>> round(difference.low, 3), round(difference.high, 3), round(difference.p_value, 3)  # standard error 0.07
        (-0.039, 0.239, 0.157)
    """
    total = TwoWaySum(clusters)
    for difference, influence in differences:
        total.add(np.array([difference]), influence[None])
    return t_difference(float(total.estimates[0]), total.spread(np.ones(1)), confidence)


def t_difference(estimate: float, spread: Spread, confidence: float = 0.95) -> Difference | None:
    """A difference with Student's t on its spread, within [-1, 1]; None where the spread has no variance."""
    if spread.variance <= ROUNDING**2:
        return None
    error = float(np.sqrt(spread.variance))
    half = spread.quantile(confidence) * error
    p_value = float(2 * scipy.stats.t.sf(abs(estimate) / error, min(spread.df, 1e9)))
    return Difference(estimate, max(estimate - half, -1.0), min(estimate + half, 1.0), p_value)
