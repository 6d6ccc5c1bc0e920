"""Does training on a record raise its signals? A test that relabels the models, so that it needs no law of signals."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int64

from raymeter.attacks.common.blocks import blocks
from raymeter.attacks.common.checks import require_kind
from raymeter.schema.signals import SignalMatrix

MOST_RELABELLINGS, FEWEST_RELABELLINGS, RELABELLED = 200, 5, 10_000_000  # and records times relabellings
MOST_FOR_LEVELS = 1_000_000  # records that tell the level and the spread of a model; of more every n-th does
FEW_RECORDS = 20  # with fewer the spread of one model cannot be told from chance
HUGE = 1e9


@dataclass(frozen=True)
class _VariancePrior:
    """What the variances of all records say of each: as much as `freedom` degrees of freedom of its own."""

    freedom: float
    variance: float


def leak_p_values(
    signals: SignalMatrix, models: Int64[np.ndarray, " columns"] | None = None, seed: int = 0
) -> Float[np.ndarray, " examples"]:
    """Probability of such a rise of a record's signals by training on it, if training on it has no effect.

    Models that differ in level or spread are aligned first: each record's median over models is taken off, then each
    model's median over records, and what is left is divided by the model's median absolute deviation. The statistic
    is the difference of the means under models that did and did not train on the record, over its standard error,
    with a variance that is drawn towards that of all records (Smyth) as far as the records are alike.

    Its law without an effect is not assumed but made: the models' lists of members are dealt out to the models anew,
    and the statistics of all records under all such relabellings, but for those that leave a record's own labels as
    they are, are what the observed ones are compared with. A p-value is thus never below 1 / (1 + n L), with n records
    and L other ways to label a record's models: 5 with two complementary pairs, 69 with four. Ties are ties: signals of
    a few levels, or that saturate, give the relabelled records the same high values as the observed ones.

    Args:
        signals: Kind logit_gap. Several queries are averaged first.
        models: Columns of the models to go by, which must be alike but for their records; by default all.
        seed: Of the relabellings.

    Returns:
        P-values in (0, 1]; NaN where a side has no model, or fewer than three models in all, or nothing varies.

    Notes:
        Records are taken to vary alike up to a factor, so that relabelled records of one may stand in for another;
        for the list of records at risk that need only hold on average, as its false discovery rate is an average too.
        Measured in benchmarks/results/truth_2cpu_202611.md: without a leak anyone is named in about 5 % of
        audits, for ten kinds of signals with 4, 8 and 16 models; Student's t-test, which was used before, named someone
        in up to 100 % of them.

    References:
        Pooled relabelling: Tusher, Tibshirani, Chu, PNAS 98 (2001). Variances: Smyth, Statistical Applications in
        Genetics and Molecular Biology 3 (2004). The count that includes the observed: Phipson and Smyth, same journal,
        9 (2010).

    Examples:
        >>> member = np.array([[True, False, True, False]] * 3)
        >>> values = np.array([[5.0, 0.1, 5.2, 0.0], [0.2, 0.0, 0.1, 0.3], [1.0, 1.2, 1.1, 1.0]], np.float32)
        >>> p = leak_p_values(SignalMatrix("logit_gap", values[:, :, None], member))
        >>> p.argmin(), round(float(p.min()), 3)  # 3 records, 5 other ways each: 1 / 16
        (0, 0.062)
    """
    require_kind(signals, "logit_gap", "p-values")
    columns = np.arange(signals.values.shape[1]) if models is None else models
    residuals, member = _aligned(signals, columns), signals.member[:, columns]
    statistic, prior = _statistic(residuals, member, None)
    known = ~np.isnan(statistic)
    p_values = np.full(len(statistic), np.nan)
    if known.any():
        p_values[known] = _share_as_high(residuals[known], member[known], statistic[known], prior, seed)
    return p_values


def _aligned(signals: SignalMatrix, columns: Int64[np.ndarray, " columns"]) -> Float[np.ndarray, "examples columns"]:
    """Signals without the level of the record, and without the level and the spread of the model; 0 where none vary."""
    residuals = np.empty((len(signals.values), len(columns)), dtype=np.float32)
    for rows in blocks(signals):
        averaged = signals.values[rows][:, columns].mean(axis=2, dtype=np.float64)
        residuals[rows] = averaged - np.median(averaged, axis=1, keepdims=True)
    vary = residuals.any(axis=1)
    if not vary.any():
        return residuals
    some = residuals[vary][:: max(1, len(residuals) // MOST_FOR_LEVELS)]
    level = np.median(some, axis=0)
    spread = np.median(np.abs(some - level), axis=0)
    varies = spread > 0
    residuals -= level
    if varies.any() and len(residuals) >= FEW_RECORDS:
        residuals /= np.where(varies, spread, np.median(spread[varies]))
    residuals[~vary] = 0.0
    return residuals


def _statistic(
    residuals: Float[np.ndarray, "examples columns"],
    member: Bool[np.ndarray, "examples columns"],
    prior: _VariancePrior | None,
) -> tuple[Float[np.ndarray, " examples"], _VariancePrior]:
    """Moderated t of each record, NaN where it has none, and the prior that it was moderated by."""
    inside = member.sum(axis=1)
    outside = member.shape[1] - inside
    freedom = inside + outside - 2
    sums = residuals.sum(axis=1, dtype=np.float64)
    sums_in = np.where(member, residuals, 0).sum(axis=1, dtype=np.float64)
    means_in, means_out = sums_in / np.maximum(inside, 1), (sums - sums_in) / np.maximum(outside, 1)
    squares = np.einsum("ij,ij->i", residuals, residuals, dtype=np.float64)
    within = np.maximum(squares - inside * means_in**2 - outside * means_out**2, 0.0)
    within[within < 1e-12 * squares] = 0.0  # what rounding leaves of signals that are alike on each side
    defined = (inside > 0) & (outside > 0) & (freedom > 0) & (squares > 0)
    if prior is None:
        prior = _variance_prior(within[defined] / freedom[defined], freedom[defined].astype(np.float64))
    variance = (prior.freedom * prior.variance + within) / (prior.freedom + np.maximum(freedom, 1))
    defined &= variance > 0
    error = np.sqrt(np.where(defined, variance, 1.0) * (1 / np.maximum(inside, 1) + 1 / np.maximum(outside, 1)))
    return np.where(defined, (means_in - means_out) / error, np.nan), prior


def _variance_prior(variances: Float[np.ndarray, " some"], freedom: Float[np.ndarray, " some"]) -> _VariancePrior:
    """Scaled inverse chi-squared prior by the mean and variance of log variances (Smyth 2004, section 6.2)."""
    positive = variances[variances > 0]
    if len(positive) < 2:
        return _VariancePrior(HUGE, float(variances.mean()) if len(variances) else 1.0)
    lowest = 1e-4 * np.median(positive)  # signals of a few levels leave some records without any variance
    logs = np.log(np.maximum(variances, lowest)) - scipy.special.digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(logs.var(ddof=1) - scipy.special.polygamma(1, freedom / 2).mean())
    if excess <= scipy.special.polygamma(1, HUGE / 2):
        return _VariancePrior(HUGE, float(np.exp(logs.mean())))
    half = float(scipy.optimize.brentq(lambda x: scipy.special.polygamma(1, x) - excess, 1e-6, HUGE))
    return _VariancePrior(2 * half, float(np.exp(logs.mean() + scipy.special.digamma(half) - np.log(half))))


def _share_as_high(
    residuals: Float[np.ndarray, "examples columns"],
    member: Bool[np.ndarray, "examples columns"],
    statistic: Float[np.ndarray, " examples"],
    prior: _VariancePrior,
    seed: int,
) -> Float[np.ndarray, " examples"]:
    """(1 + relabelled statistics that are at least as high) / (1 + all of them), for each observed one."""
    rng, (records, models) = np.random.default_rng(seed), member.shape
    ascending, counts, compared = np.sort(statistic), np.zeros(records + 1, dtype=np.int64), 0
    for _ in range(int(np.clip(RELABELLED // records, FEWEST_RELABELLINGS, MOST_RELABELLINGS))):
        relabelled = member[:, rng.permutation(models)]
        changed = (relabelled != member).any(axis=1)
        null, _ = _statistic(residuals[changed], relabelled[changed], prior)
        null = np.sort(null[~np.isnan(null)])
        # rounding must not break a tie: a relabelled statistic that equals an observed one is as high
        places = np.searchsorted(ascending, null + 1e-9 * np.abs(null), side="right")
        counts += np.bincount(places, minlength=records + 1)
        compared += len(null)
    as_high = counts[::-1].cumsum()[::-1]  # of the k-th lowest statistic: those with a place above k
    # the same labels come again and again where there are few ways to label a record: they count once
    ways = float(np.mean([comb(models, int(inside)) - 1 for inside in member.sum(axis=1)[:MOST_RELABELLINGS]]))
    once = min(1.0, ways * records / max(1, compared))
    places = np.searchsorted(ascending, statistic, side="left")
    p_values: np.ndarray = (1 + as_high[places + 1] * once) / (1 + compared * once)
    return p_values
