"""How exposed each record is, whatever the attack: p-values and d' from its signals under all models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy import special

from raymeter.analysis.leak_test import leak_p_values
from raymeter.attacks.common.blocks import blocks
from raymeter.attacks.common.checks import require_kind, require_references
from raymeter.attacks.common.moments import Moments, moments
from raymeter.attacks.common.predictive_law import Law, predictive_law, shared_prior
from raymeter.schema.signals import SignalMatrix
from raymeter.stats import benjamini_hochberg
from raymeter.stats.threads import for_each

NEARLY_EQUAL = 1e-9  # relative difference of two precisions below which the likelihood ratio is linear
MOST_SHOWN = 200  # records that a report shows; all of them are in records.parquet
FDR = 0.05  # expected share of false names among the records at risk
ModelColumns: TypeAlias = Int64[np.ndarray, " columns"]
LARGEST_P = 0.999  # a p-value of 1 has an infinite Cauchy deviate and would silence all others


def record_p_values(signals: SignalMatrix) -> Float[np.ndarray, "examples targets"]:
    """Probability that a model which was not trained on a record looks at least as much like one that was.

    LiRA's statistic is, but for a constant, q(s) = A s^2 + B s with A = (1/v_out - 1/v_in) / 2 and
    B = m_in/v_in - m_out/v_out, so {q(S) >= q(s)} lies outside (A > 0) or inside (A < 0) the two roots s and
    -B/A - s, and beyond s on one side where A = 0. Its probability is taken under the OUT law that the
    references predict: Student's t, which stays honest with few references.

    Args:
        signals: Kind logit_gap. Several queries are averaged first.

    Returns:
        P-values in [0, 1], about uniform for records that the target was not trained on, where training on
        them has an effect. Where it has none the direction of the effect is a guess made from the same
        references, and p-values below 5 % come up more often (6.5 % of them with 64 models, 8 % with 16): to
        name records at risk, use `leak_p_values`, which has its level.

    Raises:
        SignalError: A record lacks an IN or an OUT reference (it is named), or another kind of signal.

    References:
        The statistic: Carlini et al., S&P 2022, arXiv:2112.03570. Why scores need calibration per record:
        Jälkö et al., arXiv:2605.25819. The laws are those of `lira_scores` with variance nig.
    """
    p_values, of_rows = np.empty((len(signals.values), len(signals.targets))), _p_values_by_rows(signals)
    for rows in blocks(signals):
        p_values[rows] = of_rows(rows)
    return p_values


def _p_values_by_rows(signals: SignalMatrix) -> Callable[[slice], Float[np.ndarray, "block targets"]]:
    """A function that gives what `record_p_values` returns for a range of records."""
    require_kind(signals, "logit_gap", "p-values")
    for side in ("in", "out"):
        require_references(signals, side, 1, "p-values")

    def averaged(rows: slice) -> Float[np.ndarray, "block models"]:
        mean: np.ndarray = signals.values[rows].mean(axis=2, dtype=np.float64)
        return mean

    priors = {side: shared_prior(signals, averaged, side) for side in ("in", "out")}
    priors = {side: replace(prior, pooled=prior.unbiased) for side, prior in priors.items()}

    def p_values(rows: slice) -> Float[np.ndarray, "block targets"]:
        values, sides = averaged(rows), {"in": signals.member[rows], "out": ~signals.member[rows]}
        laws = {
            side: predictive_law(moments(values, mask, signals.reference), priors[side], "nig")
            for side, mask in sides.items()
        }
        return _tail_probability(values[:, signals.targets], laws["in"], laws["out"])

    return p_values


def _tail_probability(
    s: Float[np.ndarray, "examples targets"], inside: Law, outside: Law
) -> Float[np.ndarray, "examples targets"]:
    """Probability under the OUT law of a signal at which LiRA's statistic is at least as large as at s."""
    freedom = np.broadcast_to(outside.freedom, s.shape)

    def below(x: np.ndarray, where: np.ndarray) -> np.ndarray:
        # Student's t costs more than all the rest here, so it is asked only where the answer is needed
        deviate = (x[where] - outside.centre[where]) / outside.scale[where]
        probability = np.zeros(s.shape)
        probability[where] = special.stdtr(freedom[where], deviate)
        return probability

    def above(x: np.ndarray, where: np.ndarray) -> np.ndarray:
        deviate = (outside.centre[where] - x[where]) / outside.scale[where]
        probability = np.zeros(s.shape)
        probability[where] = special.stdtr(freedom[where], deviate)
        return probability

    precise_in, precise_out = inside.scale**-2.0, outside.scale**-2.0
    square = (precise_out - precise_in) / 2
    linear = inside.centre * precise_in - outside.centre * precise_out
    is_linear = np.abs(square) <= NEARLY_EQUAL * np.maximum(precise_in, precise_out)
    other = np.where(is_linear, s, -linear / np.where(is_linear, 1.0, square) - s)
    low, high = np.minimum(s, other), np.maximum(s, other)
    outer = ~is_linear & (square > 0)
    inner = ~is_linear & ~outer
    below_high = below(high, inner)
    left, right = inner & (below_high < 0.5), inner & ~(below_high < 0.5)
    p_values = np.ones(s.shape)
    p_values[outer] = (below(low, outer) + above(high, outer))[outer]
    p_values[left] = (below_high - below(low, left))[left]
    p_values[right] = (above(low, right) - above(high, right))[right]
    rising, falling = is_linear & (linear > 0), is_linear & (linear < 0)
    p_values[rising] = above(s, rising)[rising]
    p_values[falling] = below(s, falling)[falling]
    return np.clip(p_values, 0.0, 1.0)


def record_columns(
    signals: SignalMatrix, models: ModelColumns | None = None, fdr: float = FDR, seed: int = 0
) -> dict[str, np.ndarray]:
    """What the table of records says of each record whatever the attack.

    Args:
        models: Columns of the models that `d_prime` and `p_value` go by, as in `leak_p_values`.
        seed: Of the relabellings of `leak_p_values`.

    Returns:
        `d_prime`; `p_value` (see `leak_p_values`); `at_risk`, named by Benjamini and Hochberg at `fdr`;
        `membership_p_value` (see `record_p_values`), combined over the targets that trained on the record: how
        sure LiRA's statistic is of them together. It is not a test of a leak (where nothing leaks 9 % of these
        are below 5 % with 64 models, 13 % with 8), so no record is named by it.
    """
    p = leak_p_values(signals, models, seed)
    membership, of_rows = np.empty(len(p)), _p_values_by_rows(signals)

    def combine(rows: slice) -> None:  # never all of them: [examples, targets] may be large
        membership[rows] = combined_p_values(of_rows(rows), signals.member[rows][:, signals.targets])

    for_each(combine, blocks(signals), len(p))
    return {
        "d_prime": d_prime(signals, models),
        "p_value": p,
        "at_risk": benjamini_hochberg(p, fdr),
        "membership_p_value": membership,
    }


def combined_p_values(
    p: Float[np.ndarray, "examples targets"], member: Bool[np.ndarray, "examples targets"]
) -> Float[np.ndarray, " examples"]:
    """One p-value per record from those of the targets that trained on it; NaN where none did.

    The Cauchy combination, 1/2 - arctan(mean of tan((1/2 - p) pi)) / pi: in its tail right under any
    dependence between the targets, which share their references.

    References:
        Liu and Xie, Cauchy Combination Test, JASA 115 (2020). P-values above 0.999 count as that.
    """
    capped = np.clip(p, np.finfo(float).tiny, LARGEST_P)
    # cot keeps the digits of a tiny p, which 1/2 - p would lose
    deviates = np.where(capped < 1e-8, 1 / (np.pi * capped), 1 / np.tan(np.pi * np.maximum(capped, 1e-8)))
    count = member.sum(axis=1)
    # divided before the sum: a dozen deviates of p-values that underflowed to 0 would overflow together
    total = np.where(member, deviates / np.maximum(count, 1)[:, None], 0.0).sum(axis=1)
    mean = np.where(count > 0, total, np.nan)
    combined: np.ndarray = np.where(
        mean > 1e8, 1 / (np.pi * np.where(mean > 1e8, mean, 1.0)), 0.5 - np.arctan(mean) / np.pi
    )
    return combined


def d_prime(signals: SignalMatrix, models: ModelColumns | None = None) -> Float[np.ndarray, " examples"]:
    """(IN mean - OUT mean) / sqrt((IN variance + OUT variance) / 2) of a record's signals over some, or all, models.

    NaN where a side has fewer than two models, or where nothing varies.
    """
    inside, outside = _side_moments(signals, models)
    enough = (inside.count > 1) & (outside.count > 1)
    variance = inside.squares / np.maximum(inside.count - 1, 1) + outside.squares / np.maximum(outside.count - 1, 1)
    defined = enough & (variance > 0)
    gap = inside.mean - outside.mean
    d: np.ndarray = np.where(defined, gap / np.sqrt(np.where(defined, variance, 2.0) / 2), np.nan)[:, 0]
    return d


def _side_moments(signals: SignalMatrix, models: ModelColumns | None) -> tuple[Moments, Moments]:
    """Moments of each record's signals, averaged over queries, under the models that did and did not train on it."""
    everyone = np.zeros((1, signals.values.shape[1]), dtype=bool)
    everyone[:, slice(None) if models is None else models] = True
    parts: tuple[list[Moments], list[Moments]] = ([], [])
    for rows in blocks(signals):
        averaged = signals.values[rows].mean(axis=2, dtype=np.float64)
        for part, side in zip(parts, (signals.member[rows], ~signals.member[rows]), strict=True):
            part.append(moments(averaged, side, everyone))
    inside, outside = (
        Moments(
            *(np.concatenate([getattr(of_block, name) for of_block in part]) for name in ("count", "mean", "squares"))
        )
        for part in parts
    )
    return inside, outside


def most_exposed(records: Mapping[str, np.ndarray], main: str) -> Int64[np.ndarray, " rows"]:
    """Rows of the table of records, the most exposed first: by p-value, else by the main attack's rank."""
    if "p_value" in records:
        order = np.nan_to_num(records["p_value"].astype(float), nan=2.0)
    elif f"{main}_rank" in records:
        order = records[f"{main}_rank"].astype(float)
    else:
        order = np.arange(len(records["id"]), dtype=float)
    count = min(MOST_SHOWN, len(order))
    chosen = np.argpartition(order, count - 1)[:count]
    rows: Int64[np.ndarray, " rows"] = chosen[np.argsort(order[chosen], kind="stable")]
    return rows
