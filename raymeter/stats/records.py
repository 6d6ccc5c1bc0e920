"""Per-record statistics: false discoveries, coin flips, how often caught, how stable the rank."""

from __future__ import annotations

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int64

from raymeter.errors import SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.signals import RECORDS_AT_ONCE
from raymeter.stats.threads import for_each
from raymeter.stats.tpr import allowed_false_positives, threshold_at_fpr

DRAWS_AT_ONCE = 16
# Of millions of records fewer draws are taken, so that no more than so many ranks, and means, are in memory.
FEWEST_DRAWS, MOST_RANKS, MOST_MEANS = 40, 200_000_000, 20_000_000


def benjamini_hochberg(p: Float[np.ndarray, " examples"], fdr: float = 0.05) -> Bool[np.ndarray, " examples"]:
    """Records that may be named with an expected share of false ones of at most `fdr`; NaN p is never named.

    Raises:
        SignalError: fdr is not in (0, 1).

    References:
        Benjamini and Hochberg, JRSS B 57 (1995).

    Examples:
        >>> benjamini_hochberg(np.array([0.01, 0.02, 0.9])).tolist()  # 3 * 0.02 / 2 is below 0.05
        [True, True, False]
    """
    if not 0 < fdr < 1:
        raise SignalError(f"fdr must be in (0, 1), got {fdr}")
    known = ~np.isnan(p)
    named = np.zeros(len(p), dtype=bool)
    if known.any():
        named[known] = scipy.stats.false_discovery_control(p[known]) <= fdr
    return named


def caught_counts(
    scores: Scores, fpr: float
) -> tuple[Int64[np.ndarray, " examples"], Int64[np.ndarray, " examples"], bool]:
    """In how many targets that trained on a record it exceeds their threshold at the rate, out of how many.

    The last value says whether every target can resolve the rate (fpr * non-members >= 1).

    Examples:
        >>> values = np.array([[3.0, 1.0], [0.5, 2.0], [1.0, 0.5], [0.0, 0.0]])
        >>> member = np.array([[True, False], [True, True], [False, True], [False, False]])
        >>> scores = Scores("loss", values, member, np.arange(4), np.arange(2))
        >>> caught, trials, resolvable = caught_counts(scores, 0.0)  # both thresholds are 1
        >>> caught.tolist(), trials.tolist(), resolvable
        ([1, 1, 0, 0], [1, 2, 1, 0], True)
    """
    sides = list(enumerate(scores.member.T))
    thresholds = np.array([threshold_at_fpr(scores.values[~member, t], fpr) for t, member in sides])
    resolvable = all(fpr == 0 or allowed_false_positives(fpr, int((~member).sum())) >= 1 for _, member in sides)
    caught = ((scores.values > thresholds) & scores.member).sum(axis=1)
    return caught.astype(np.int64), scores.member.sum(axis=1).astype(np.int64), resolvable


def flip_rate(
    caught: Int64[np.ndarray, " examples"], trials: Int64[np.ndarray, " examples"]
) -> Float[np.ndarray, " examples"]:
    """Chance that two targets that trained on a record disagree about it: 2 k (B - k) / (B (B - 1)); NaN if B < 2.

    References:
        Hayes et al., NeurIPS 2025, arXiv:2505.18773.

    Examples:
        >>> flip_rate(np.array([1, 2, 0]), np.array([2, 2, 1])).tolist()
        [1.0, 0.0, nan]
    """
    pairs = trials * (trials - 1)
    rate: np.ndarray = np.divide(
        2.0 * caught * (trials - caught), pairs, out=np.full(len(trials), np.nan), where=trials > 1
    )
    return rate


def coin_flip(
    caught: Int64[np.ndarray, " examples"], trials: Int64[np.ndarray, " examples"], alpha: float = 0.05
) -> tuple[Bool[np.ndarray, " examples"], Bool[np.ndarray, " examples"]]:
    """Whether decisions about a record look like a coin's, and whether that question has an answer.

    A record is a coin flip where the exact two-sided binomial test of 1/2 does not reject: which of the
    targets catch it is then a matter of their seeds. Where no outcome rejects (at 5 %, with fewer than six
    trials) the second array is False.

    References:
        Hayes et al., NeurIPS 2025, arXiv:2505.18773 (at 127 trials the region starts at k = 52, a flip
        rate of 0.4874).

    Examples:
        >>> flips, defined = coin_flip(np.array([3, 6, 1]), np.array([6, 6, 2]))  # 6 of 6 have p = 2 / 64
        >>> flips.tolist(), defined.tolist()
        ([True, False, False], [True, True, False])
    """
    fewer = np.minimum(caught, trials - caught)
    p = np.minimum(2 * scipy.stats.binom.cdf(fewer, np.maximum(trials, 1), 0.5), 1.0)
    defined = 2 * 0.5**trials < alpha  # even a unanimous outcome must be able to reject
    return (p >= alpha) & defined, defined


def rank_intervals(
    scores: Scores,
    clusters: Int64[np.ndarray, " targets"],
    seed: int,
    draws: int = 200,
    confidence: float = 0.9,
) -> tuple[Float[np.ndarray, " examples"], Float[np.ndarray, " examples"]]:
    """Between which ranks a record stays when the audit's targets are drawn anew (bootstrap over clusters).

    Ranks are those of `risk_rank`. With one cluster there is nothing to draw from: both ends are NaN. Draws in
    which a record lost all targets that trained on it, or all that did not, do not count for it; complementary
    pairs never lose any. Of more than a million records fewer draws are taken, 40 of five millions or more.

    Raises:
        SignalError: No draws.

    Examples:
        >>> member = np.array([[True, False, True, False], [False, True, True, False]])
        >>> values = np.where(member, [[3.0], [1.0]], 0.0)  # training on a record adds 3, or 1
        >>> scores = Scores("loss", values, member, np.arange(2), np.arange(4))
        >>> low, high = rank_intervals(scores, np.array([0, 0, 1, 1]), seed=0)
        >>> low.tolist(), high.tolist()
        ([1.0, 2.0], [1.0, 2.0])
    """
    if draws < 1:
        raise SignalError(f"draws must be at least 1, got {draws}")
    numbers, place = np.unique(clusters, return_inverse=True)
    records = len(scores.values)
    if len(numbers) < 2:
        return np.full(records, np.nan), np.full(records, np.nan)
    draws = min(draws, max(FEWEST_DRAWS, MOST_RANKS // max(1, records)))
    rng = np.random.default_rng(seed)
    times_drawn = rng.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)), draws)
    weights = times_drawn[:, place].T.astype(np.float64)
    ranks = np.empty((draws, records), dtype=np.float32)
    on_both_sides = scores.member.any(axis=1) & ~scores.member.all(axis=1)
    at_once = max(1, min(DRAWS_AT_ONCE, MOST_MEANS // max(1, records)))
    for start in range(0, draws, at_once):
        mean_in, mean_out = _weighted_means(scores, weights[:, start : start + at_once])

        def rank(means: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
            lost = on_both_sides & (np.isnan(means[0]) | np.isnan(means[1]))
            ranks_of_draw: np.ndarray = np.where(lost, np.nan, risk_rank(*means)).astype(np.float32)
            return ranks_of_draw

        some_ranks = for_each(rank, zip(mean_in, mean_out, strict=True), records)
        ranks[start : start + len(some_ranks)] = some_ranks
    low, high = np.empty((2, records))

    def ends(rows: slice) -> None:
        draws_of_rows = np.ascontiguousarray(ranks[:, rows].T)
        quantile = np.nanquantile if np.isnan(draws_of_rows).any() else np.quantile  # the former is far slower
        low[rows], high[rows] = quantile(draws_of_rows, [(1 - confidence) / 2, (1 + confidence) / 2], axis=1)

    for_each(ends, [slice(s, s + RECORDS_AT_ONCE) for s in range(0, records, RECORDS_AT_ONCE)], records)
    return low, high


def top_overlap(scores: Scores, clusters: Int64[np.ndarray, " targets"], most: int) -> float:
    """Jaccard overlap of the `most` riskiest records in two halves of the audit's targets; NaN with one cluster.

    Clusters take turns, so that both halves are of the same size or differ by one. 1: both name the same
    records; names drawn at random overlap by about most / (2 * records).

    References:
        Report of the overlap across seeds: arXiv:2603.07567.

    Examples:
        >>> member = np.array([[True, False, True, False], [False, True, True, False]])
        >>> values = np.where(member, [[3.0], [1.0]], 0.0)  # training on a record adds 3, or 1
        >>> scores = Scores("loss", values, member, np.arange(2), np.arange(4))
        >>> top_overlap(scores, np.array([0, 0, 1, 1]), most=1)
        1.0
    """
    numbers, place = np.unique(clusters, return_inverse=True)
    if len(numbers) < 2 or len(scores.values) <= most:  # all records are the riskiest
        return float("nan")
    riskiest = []
    for half in (0, 1):
        in_half = place % 2 == half
        rank = risk_rank(*(_means(scores, in_half, side) for side in ("in", "out")))
        riskiest.append(set(np.flatnonzero(rank <= most).tolist()))
    return len(riskiest[0] & riskiest[1]) / len(riskiest[0] | riskiest[1])


def _means(scores: Scores, chosen: Bool[np.ndarray, " targets"], side: str) -> Float[np.ndarray, " examples"]:
    """Means over some targets that did, or did not, train on each record."""
    means = np.empty(len(scores.values))
    for start in range(0, len(means), RECORDS_AT_ONCE):
        rows = slice(start, start + RECORDS_AT_ONCE)
        member = scores.member[rows][:, chosen]
        means[rows] = mean_where(scores.values[rows][:, chosen], member if side == "in" else ~member)
    return means


def _weighted_means(
    scores: Scores, weight: Float[np.ndarray, "targets draws"]
) -> tuple[Float[np.ndarray, "draws examples"], Float[np.ndarray, "draws examples"]]:
    """Means over the targets on each side, IN and OUT, with weights per draw; NaN where no weight is left."""
    both_means = np.empty((2, weight.shape[1], len(scores.values)))
    for start in range(0, len(scores.values), RECORDS_AT_ONCE):
        rows = slice(start, start + RECORDS_AT_ONCE)
        values, member = np.ascontiguousarray(scores.values[rows]), scores.member[rows]
        for means, mask in zip(both_means, (member, ~member), strict=True):
            side = mask.astype(np.float64)
            count = side @ weight
            total = (values * side) @ weight
            means[:, rows] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0).T
    return both_means[0], both_means[1]


def risk_rank(
    mean_in: Float[np.ndarray, " examples"], mean_out: Float[np.ndarray, " examples"]
) -> Int64[np.ndarray, " examples"]:
    """Rank of records by how much training on them raises their score (mean IN minus mean OUT), 1 first.

    Records that are only IN or only OUT of the targets have no difference (all records, when one target
    is attacked). They come after those that have: first the ones only IN, then the ones only OUT, each
    by mean score. Ties keep the order of the records.

    Examples:
        >>> risk_rank(np.array([2.0, 3.0, np.nan]), np.array([1.5, 1.0, 0.0])).tolist()
        [2, 1, 3]
    """
    only_in, only_out = np.isnan(mean_out), np.isnan(mean_in)
    if only_in.any() or only_out.any():
        tier = np.where(only_out, 2, np.where(only_in, 1, 0))
        key = np.where(only_out, mean_out, np.where(only_in, mean_in, mean_in - mean_out))
        order = np.lexsort((-key, tier))
    else:  # the same, sooner
        key = mean_in - mean_out
        order = np.argsort(-key, kind="stable")
    rank = np.empty(len(key), dtype=np.int64)
    rank[order] = np.arange(1, len(key) + 1)
    return rank


def mean_where(
    values: Float[np.ndarray, "examples targets"], mask: Bool[np.ndarray, "examples targets"]
) -> Float[np.ndarray, " examples"]:
    """Row means over a mask, NaN where the mask is empty."""
    means = np.full(len(values), np.nan)
    for start in range(0, len(values), RECORDS_AT_ONCE):
        rows = slice(start, start + RECORDS_AT_ONCE)
        count = mask[rows].sum(axis=1)
        total = np.where(mask[rows], values[rows], 0.0).sum(axis=1)
        np.divide(total, count, out=means[rows], where=count > 0)
    return means
