"""Do groups leak differently, or do they only look so? Randomisation tests of TPR minus FPR at a common threshold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from raymeter.errors import SignalError

MOST_SHUFFLED = 1_000_000_000  # labels that are shuffled one by one; beyond that counts are drawn
COUNTS = 4  # per record: caught as a member, of so many times a member, flagged as none, of so many times none
PRODUCTS = [(i, j) for i in range(COUNTS) for j in range(i, COUNTS)]


@dataclass(frozen=True)
class GroupTests:
    """Two-sided p-values of each group against all others, and the largest difference of two groups.

    The p-value of the latter is that of the largest distance of any group from all others.

    NaN where a group was never a member of a target, or always, and where there is no other group.
    """

    p_values: Float[np.ndarray, " groups"]
    largest_gap: float
    largest_gap_p_value: float


def compare_groups(
    place: Int64[np.ndarray, " examples"],
    flagged: Bool[np.ndarray, "examples targets"],
    member: Bool[np.ndarray, "examples targets"],
    permutations: int,
    seed: int,
) -> GroupTests:
    """Whether groups differ in their advantage: TPR minus FPR at one threshold for all.

    A group whose scores vary more has more of its members above the threshold, and more of its non-members: its TPR is
    no sign of a leak, its advantage is. The statistic is the difference of two advantages over its standard error, from
    what each record contributes; its law without a difference is that of group labels shuffled among the records. The
    standard error keeps the test valid where groups vary unequally, as shuffled ones do not (Janssen; Chung and
    Romano). Every group has one average record more in its variance, so that one without a flag is not certain.

    Args:
        place: Number of the group of each record, from 0 on.
        flagged: Whether a record is above the common threshold of a target.
        member: Whether a target was trained on it.
        permutations: How often labels are shuffled, at least once; the observed ones count as one shuffle more.
        seed: Of the shuffles.

    Raises:
        SignalError: No permutations.

    Notes:
        Of many records only the counts are drawn: those with equal contributions are alike, and how many of each
        kind fall to each group is multivariate hypergeometric. That is the law of shuffling them one by one.

    References:
        Kulynych et al., PoPETs 2022, arXiv:1906.00389. Janssen, Statistics & Probability Letters 36 (1997); Chung and
        Romano, Annals of Statistics 41 (2013).
    """
    if permutations < 1:
        raise SignalError(f"permutations must be at least 1, got {permutations}")
    counts = np.stack([(flagged & member).sum(1), member.sum(1), (flagged & ~member).sum(1), (~member).sum(1)], axis=1)
    groups = int(place.max()) + 1
    observed = _Sums(_sums(_moments(counts), place, groups))
    against_rest = observed.against_rest()
    known = ~np.isnan(against_rest)
    if not known.any():
        return GroupTests(np.full(groups, np.nan), float("nan"), float("nan"))
    far = np.abs(against_rest)
    as_far, as_wide = np.ones(groups), 1
    for shuffled in map(_Sums, _shuffled(counts, place, groups, permutations, np.random.default_rng(seed))):
        distances = np.abs(shuffled.against_rest())
        as_far += ~(distances < far - 1e-9)  # one that leaves a group without a trial counts against it
        as_wide += not bool(np.max(distances, initial=0.0, where=~np.isnan(distances)) < np.max(far[known]) - 1e-9)
    p_values = np.where(known, as_far / (permutations + 1), np.nan)
    if known.sum() < 2:
        return GroupTests(p_values, float("nan"), float("nan"))
    gap = float(np.ptp(observed.advantages[known]))
    return GroupTests(p_values, gap, as_wide / (permutations + 1))


def holm(p: Sequence[float] | Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Holm's adjusted p-values: named below alpha, the chance of any false name is at most alpha. NaN stays.

    References:
        Holm, Scandinavian Journal of Statistics 6 (1979).

    Examples:
        >>> holm([0.01, 0.04, 0.03]).tolist()  # 3 * 0.01, then 2 * 0.03, which 1 * 0.04 may not be below
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known])]
    adjusted = np.full(len(values), np.nan)
    steps = values[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def _moments(counts: Int64[np.ndarray, "some counts"]) -> Float[np.ndarray, "some moments"]:
    """The counts of records and the products of any two of them."""
    values = counts.astype(np.float64)
    return np.concatenate([values, np.stack([values[:, i] * values[:, j] for i, j in PRODUCTS], axis=1)], axis=1)


def _sums(
    moments: Float[np.ndarray, "some moments"], place: Int64[np.ndarray, " some"], groups: int
) -> Float[np.ndarray, "groups moments_and_records"]:
    columns = [np.bincount(place, weights=column, minlength=groups) for column in moments.T]
    return np.stack([*columns, np.bincount(place, minlength=groups)], axis=1)


class _Sums:
    """Moments of groups, summed over their records: all that advantages and their variances need."""

    def __init__(self, sums: Float[np.ndarray, "groups moments_and_records"]) -> None:
        self._sums, self._all = sums, sums.sum(axis=0)
        self.advantages, self._variances = self._of(sums)

    def against_rest(self) -> Float[np.ndarray, " groups"]:
        """Advantage of each group less that of all others together, in standard errors; NaN where one is not known."""
        others, variances = self._of(self._all - self._sums)
        differences = self.advantages - others
        with np.errstate(invalid="ignore", divide="ignore"):
            distances: np.ndarray = differences / np.sqrt(np.maximum(self._variances + variances, 0.0))
        return np.where(differences == 0, 0.0, distances)

    def _of(self, sums: Float[np.ndarray, "groups moments_and_records"]) -> tuple[np.ndarray, np.ndarray]:
        """Advantages and their variances: of the sum of squares of every record's influence, by its quadratic form."""
        caught, trials, false, others = sums[:, :COUNTS].T
        with np.errstate(invalid="ignore", divide="ignore"):
            tpr, fpr = caught / trials, false / others
            weights = np.stack([1 / trials, -tpr / trials, -1 / others, fpr / others])
            variance = np.zeros(len(sums))
            for k, (i, j) in enumerate(PRODUCTS):
                one_more = sums[:, COUNTS + k] + self._all[COUNTS + k] / self._all[-1]
                variance += (1 if i == j else 2) * weights[i] * weights[j] * one_more
        return tpr - fpr, variance


def _shuffled(
    counts: Int64[np.ndarray, "examples counts"],
    place: Int64[np.ndarray, " examples"],
    groups: int,
    permutations: int,
    rng: np.random.Generator,
) -> Iterator[Float[np.ndarray, "groups moments_and_records"]]:
    """Sums of the groups after labels were shuffled among the records."""
    if len(place) * permutations <= MOST_SHUFFLED:
        moments = _moments(counts)
        for _ in range(permutations):
            yield _sums(moments, rng.permutation(place), groups)
        return
    kinds, sizes = np.unique(counts, axis=0, return_counts=True)
    moments = np.concatenate([_moments(kinds), np.ones((len(kinds), 1))], axis=1)
    left_at_first = np.bincount(place, minlength=groups)
    for _ in range(permutations):
        left, sums = left_at_first.copy(), np.zeros((groups, moments.shape[1]))
        for of_kind, size in zip(moments, sizes, strict=True):
            drawn = rng.multivariate_hypergeometric(left, int(size), method="marginals")
            left -= drawn
            sums += drawn[:, None] * of_kind
        yield sums
