"""One target's figures together with what each record contributes to them, so that means know what they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import ndtri

from raymeter.schema.results import Interval, TprEstimate
from raymeter.schema.scores import Scores
from raymeter.stats.auc import interval_of_placements, placements
from raymeter.stats.kinds import FLAGGED, MEMBERS, Kinds
from raymeter.stats.roc import divide
from raymeter.stats.tpr import check_rate, threshold_at_fpr, tpr_of_ascending

NORMAL_95 = float(ndtri(0.975))
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
    return influence_of_placements(placements(scores, member), member)


def influence_of_placements(
    sides: tuple[np.ndarray, np.ndarray], member: Bool[np.ndarray, " examples"]
) -> Float[np.ndarray, " examples"]:
    """`auc_influence` of `placements` that are known already."""
    of_members, of_non_members = sides
    influence, area = np.empty(len(member)), of_members.mean()
    influence[member] = (of_members - area) / len(of_members)
    influence[~member] = (of_non_members - area) / len(of_non_members)
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
    sides = placements(scores, member)
    everyone = np.ones(len(member), dtype=bool)
    return scaled_figure(interval_of_placements(sides), influence_of_placements(sides, member), everyone)


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
    return tpr_figures(scores, member, (fpr,))[0]


def tpr_figures(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"], fprs: Sequence[float]
) -> list[Figure[TprEstimate]]:
    """`tpr_figure` at several rates; the scores are sorted once.

    Raises:
        SignalError: A score is NaN, a group is empty, or a rate is not in [0, 1].
    """
    for fpr in fprs:
        check_rate("fpr", fpr)
    members, non_members = (np.sort(side) for side in divide(scores, member))
    figures = []
    for fpr in fprs:
        interval = tpr_of_ascending(members, non_members, fpr)
        kinds, shape = _at_threshold(scores, member, threshold_at_fpr(non_members, fpr), variance_of(interval))
        figures.append(Figure(interval, kinds.spread(kinds.levels(shape, MEMBERS, variance_of(interval)))))
    return figures


def tpr_influence(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"], fpr: float, variance: float
) -> Float[np.ndarray, " examples"]:
    """Influence of each record on the rate that `tpr_at_fpr` finds.

    Args:
        variance: Of the rate; what is left of it after the members' binomial part is that of the threshold.
    """
    kinds, shape = _at_threshold(scores, member, threshold_at_fpr(scores[~member], fpr), variance)
    return kinds.spread(shape)


def _at_threshold(
    scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"], threshold: float, variance: float
) -> tuple[Kinds, Float[np.ndarray, 4]]:
    """Members above a threshold and non-members that are not below it, and the influence of each kind on the TPR."""
    kinds = Kinds.of(np.where(member, scores > threshold, scores >= threshold), member)
    rate, lifting = kinds.tpr, kinds.fpr
    left, squares = variance - rate * (1 - rate) / kinds.members, kinds.others * lifting * (1 - lifting)
    lift = np.sqrt(left / squares) if left > 0 and squares > 0 else 0.0
    return kinds, np.array([lift * lifting, lift * (lifting - 1), -rate / kinds.members, (1 - rate) / kinds.members])


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
    kinds = Kinds.of(flagged, side)
    return Figure(interval, kinds.spread(kinds.levels(rate_shape(interval, MEMBERS), MEMBERS, variance_of(interval))))


def rate_shape(interval: Interval, side: Bool[np.ndarray, 4]) -> Float[np.ndarray, 4]:
    """Influence of each kind of records on the share of one side that is flagged, up to a factor."""
    shape: np.ndarray = np.where(side, FLAGGED - interval.estimate, 0.0)
    return shape


def precision_shape(kinds: Kinds) -> Float[np.ndarray, 4]:
    """Influence of each kind of records on the precision of a decision, whatever the prior, up to a factor.

    On the log-odds scale the precision is a constant plus log TPR minus log FPR, so that a record counts by its
    share of the flags of its own side. A side without a flag counts as though it had half of one.
    """
    of_member = FLAGGED / max(int(kinds.counts[3]), 0.5) - 1 / kinds.members
    of_other = 1 / kinds.others - FLAGGED / max(int(kinds.counts[1]), 0.5)
    shape: np.ndarray = np.where(MEMBERS, of_member, of_other)
    return shape


def figures_of(
    figure: Callable[[Float[np.ndarray, " examples"], Bool[np.ndarray, " examples"]], Figure[Kind]], scores: Scores
) -> Iterable[Figure[Kind]]:
    """A figure of every target, one after another."""
    return (figure(values, member) for values, member in zip(scores.values.T, scores.member.T, strict=True))
