"""One target's figures together with what each record contributes to them, so that means know what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from raymeter.schema.results import Interval, TprEstimate
from raymeter.schema.scores import Scores
from raymeter.stats.auc import auc_interval, placements
from raymeter.stats.tpr import threshold_at_fpr, tpr_at_fpr

NORMAL_95 = float(stats.norm.ppf(0.975))
Kind = TypeVar("Kind", Interval, TprEstimate)


@dataclass(frozen=True)
class Figure(Generic[Kind]):
    """An estimate of one target with its 95 % interval, and the influence of each record on it.

    Args:
        interval: Of this target alone: other records, the same model.
        influence: By how much each record moves the estimate, to first order; the squares add up to the variance
            that the interval tells. Records that have no part in the figure have 0.
    """

    interval: Kind
    influence: Float[np.ndarray, " examples"]


def variance_of(interval: Interval | TprEstimate) -> float:
    """The variance that a 95 % interval tells: of half its width, 1.96 standard errors."""
    return ((interval.high - interval.low) / (2 * NORMAL_95)) ** 2


def scaled_figure(
    interval: Kind, shape: Float[np.ndarray, " examples"], part: Bool[np.ndarray, " examples"]
) -> Figure[Kind]:
    """A figure whose influence is in proportion to `shape`, so that it agrees with the interval's width.

    Args:
        shape: Influence up to a factor; only how records compare counts.
        part: Records with a part in the figure. Where the shape is 0 everywhere (a rate of 0 or 1, a perfect
            separation) they all have the same influence: what is not seen of one is not seen of any.
    """
    squares, variance = float(shape @ shape), variance_of(interval)
    if squares > 0:
        return Figure(interval, shape * np.sqrt(variance / squares))
    return Figure(interval, np.where(part, np.sqrt(variance / max(1, int(part.sum()))), 0.0))


def auc_influence(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]
) -> Float[np.ndarray, " examples"]:
    """Influence of each record on the AUC: its placement less the AUC, divided by the size of its side.

    The squares add up to DeLong's variance but for the ddof.

    Raises:
        SignalError: A score is NaN, or there are no members or no non-members.

    References:
        DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988).

    Examples:
        >>> auc_influence(np.array([3.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False])).tolist()
        [0.0625, -0.0625, -0.0625, 0.0625]
    """
    of_members, of_non_members = placements(scores, member)
    influence = np.empty(len(member))
    influence[member] = (of_members - of_members.mean()) / len(of_members)
    influence[~member] = (of_non_members - of_members.mean()) / len(of_non_members)
    return influence


def auc_figure(scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]) -> Figure[Interval]:
    """`auc_interval` with the influence of each record.

    Raises:
        SignalError: A score is NaN, or there are no members or no non-members.

    Examples:
        >>> figure = auc_figure(np.array([3.0, 1.0, 1.0, 0.0]), np.array([True, True, False, False]))
        >>> figure.interval.estimate, np.sign(figure.influence).tolist()  # the first and the last record raise it
        (0.875, [1.0, -1.0, -1.0, 1.0])
    """
    return scaled_figure(auc_interval(scores, member), auc_influence(scores, member), np.ones(len(member), dtype=bool))


def tpr_figure(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"], fpr: float
) -> Figure[TprEstimate]:
    """`tpr_at_fpr` with the influence of each record: members by being found, non-members by moving the threshold.

    What the interval has beyond the binomial variance of the members comes from the threshold, to which the
    non-members at or above it contribute alike.

    Raises:
        SignalError: A score is NaN, a group is empty, or fpr is not in [0, 1].

    Examples:
        >>> scores, member = np.array([3.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False])
        >>> figure = tpr_figure(scores, member, 0.5)  # both members are above 0
        >>> figure.interval.estimate, len(figure.influence)
        (1.0, 4)
    """
    interval = tpr_at_fpr(scores, member, fpr)
    return scaled_figure(interval, tpr_influence(scores, member, fpr, variance_of(interval)), member)


def tpr_influence(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"], fpr: float, variance: float
) -> Float[np.ndarray, " examples"]:
    """Influence of each record on the rate that `tpr_at_fpr` finds.

    Args:
        variance: Of the rate; what is left of it after the members' binomial part is that of the threshold.
    """
    threshold = threshold_at_fpr(scores[~member], fpr)
    rate = float((scores[member] > threshold).mean())
    influence: np.ndarray = np.where(member, (scores > threshold) - rate, 0.0) / member.sum()
    at_or_above = ~member & (scores >= threshold)
    lifting = np.where(member, 0.0, at_or_above - at_or_above.sum() / (~member).sum())
    left, squares = variance - influence @ influence, float(lifting @ lifting)
    if left > 0 and squares > 0:
        influence -= lifting * np.sqrt(left / squares)
    return influence


def rate_figure(
    interval: Interval, flagged: Bool[np.ndarray, " examples"], side: Bool[np.ndarray, " examples"]
) -> Figure[Interval]:
    """The share of one side's records that are flagged, with the influence of each.

    Args:
        interval: Of the share, for instance by `clopper_pearson`.
        flagged: Which records are above a threshold that was fixed elsewhere.
        side: The members, or the non-members.

    Examples:
        >>> flagged, member = np.array([True, False, True]), np.array([True, True, False])
        >>> rate_figure(Interval(0.5, 0.1, 0.9), flagged, member).influence.round(2).tolist()  # a variance of 0.04
        [0.14, -0.14, 0.0]
    """
    return scaled_figure(interval, np.where(side, flagged - interval.estimate, 0.0), side)


def precision_figures(
    intervals: Iterable[Interval], flagged: Bool[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]
) -> Iterable[Figure[Interval]]:
    """The precision of a decision at each of some priors, with the influence of each record.

    On the log-odds scale the precision is a constant plus log TPR minus log FPR, so that a record counts by its
    share of the flags of its own side. A side without a flag counts as though it had half of one.

    Args:
        intervals: Of the precision at each prior, see `ppv_interval`.
        flagged: Which records are above a threshold that was fixed elsewhere.
    """
    members, flags = int(member.sum()), int((flagged & member).sum())
    others, false = len(member) - members, int(flagged.sum()) - flags
    of_member = np.where(flagged, 1 / max(flags, 0.5), 0.0) - 1 / members
    of_other = 1 / others - np.where(flagged, 1 / max(false, 0.5), 0.0)
    shape, everyone = np.where(member, of_member, of_other), np.ones(len(member), dtype=bool)
    return (scaled_figure(interval, shape, everyone) for interval in intervals)


def figures_of(
    figure: Callable[[Float[np.ndarray, " examples"], Bool[np.ndarray, " examples"]], Figure[Kind]], scores: Scores
) -> Iterable[Figure[Kind]]:
    """A figure of every target, one after another."""
    return (figure(values, member) for values, member in zip(scores.values.T, scores.member.T, strict=True))
