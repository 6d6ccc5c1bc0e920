"""Is one group more at risk than others? Rates at a common threshold, with a test that chance must pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from raymeter.errors import SignalError
from raymeter.schema.results import GroupMetrics, GroupTable, Interval, MeanInterval, TprEstimate
from raymeter.schema.scores import Scores
from raymeter.stats.figures import Figure, auc_figure, rate_figure, tpr_figure
from raymeter.stats.group_tests import compare_groups, holm
from raymeter.stats.means import MeanOverTargets
from raymeter.stats.threads import in_turn
from raymeter.stats.tpr import clopper_pearson, threshold_at_fpr

GROUP_FPR = 0.01
PERMUTATIONS = (500, 5000)  # at least and at most


@dataclass(frozen=True)
class _Flags:
    """Scores of an attack, and which of them are above the common threshold of their target at `fpr`."""

    scores: Scores
    flagged: Bool[np.ndarray, "examples targets"]
    clusters: Int64[np.ndarray, " targets"]
    fpr: float


def group_metrics(
    scores: Scores,
    groups: np.ndarray,
    clusters: Int64[np.ndarray, " targets"],
    seed: int,
    fpr: float = GROUP_FPR,
    permutations: int | None = None,
) -> GroupTable:
    """Metrics of one attack within each group of records, and whether groups differ by more than chance.

    The common threshold is each target's own at `fpr` over all records; at it a group has a TPR and an FPR of
    its own, and a higher TPR that comes with a higher FPR is no sign of more leakage. The group's own threshold
    keeps the FPR within the group.

    Args:
        groups: One label per record, numbers or text.
        clusters: Which targets are dependent, see `dependent_targets`.
        seed: Of the permutations.
        permutations: How often group labels are shuffled among records for the randomisation tests; by default
            50 for each group, from 500 to 5,000: Holm's correction multiplies the smallest p-value,
            1 / (permutations + 1), by the number of groups, so that among more than 250 none can be named at 5 %.

    Returns:
        Groups in the order of their labels. p-values are of `compare_groups`: how often a random group of the same
        size differs as much from the rest in TPR minus FPR at the common threshold (two-sided), Holm-adjusted over
        groups. The largest gap between two groups is compared with that of shuffled labels: groups that leak alike
        differ too, and small ones most. Groups that lack members or non-members in a target have no AUC.

    Raises:
        SignalError: Not one label per record.

    References:
        Kulynych et al., Disparate Vulnerability to Membership Inference Attacks, PoPETs 2022,
        arXiv:1906.00389. Holm, Scandinavian Journal of Statistics 6 (1979).

    Examples:
        >>> values, member = np.array([[3.0], [1.0], [0.5], [0.0]]), np.array([[True], [False], [True], [False]])
        >>> scores = Scores("loss", values, member, np.arange(4), np.arange(1))
        >>> table = group_metrics(scores, np.array(["a", "a", "b", "b"]), np.array([0]), seed=0, fpr=0.0)
        >>> [(group.group, group.tpr_common.estimate) for group in table.groups], table.largest_gap  # above 1
        ([('a', 1.0), ('b', 0.0)], 1.0)
    """
    if groups.shape != (len(scores.values),):
        raise SignalError(f"groups must have one label per record, {len(scores.values)}, got shape {groups.shape}")
    names, place = np.unique(groups, return_inverse=True)
    permutations = int(np.clip(50 * len(names), *PERMUTATIONS)) if permutations is None else permutations
    sides = enumerate(scores.member.T)
    flagged = scores.values > np.array([threshold_at_fpr(scores.values[~member, t], fpr) for t, member in sides])
    tests = compare_groups(place, flagged, scores.member, permutations, seed)
    flags = _Flags(scores, flagged, clusters, fpr)
    metrics = [
        _metrics_within(flags, place == g, str(name), (float(p), float(adjusted)))
        for g, (name, p, adjusted) in enumerate(zip(names, tests.p_values, holm(tests.p_values), strict=True))
    ]
    return GroupTable(
        fpr=fpr,
        groups=tuple(metrics),
        largest_gap=tests.largest_gap,
        largest_gap_p_value=tests.largest_gap_p_value,
    )


def _metrics_within(flags: _Flags, inside: np.ndarray, name: str, p_values: tuple[float, float]) -> GroupMetrics:
    """The metrics of one group; `p_values` are its own and Holm's adjusted one."""
    scores, clusters = flags.scores, flags.clusters
    member = scores.member[inside]
    members, non_members = member.sum(axis=0), (~member).sum(axis=0)
    complete = bool((members > 0).all() and (non_members > 0).all())

    def within_target(t: int) -> tuple[Figure[TprEstimate], Figure[Interval]]:
        values, side = scores.values[inside, t], member[:, t]
        return tpr_figure(values, side, flags.fpr), auc_figure(values, side)

    auc, own, resolvable = MeanOverTargets(clusters), MeanOverTargets(clusters), complete
    for rate, area in in_turn(within_target, range(member.shape[1]) if complete else (), len(scores.values)):
        own.add(rate)
        auc.add(area)
        resolvable = resolvable and rate.interval.resolvable

    def common_rate(sides: np.ndarray) -> MeanInterval | None:
        if not sides.any(axis=0).all():
            return None
        rates = MeanOverTargets(clusters)
        for flagged, side in zip(flags.flagged[inside].T, sides.T, strict=True):
            rates.add(rate_figure(clopper_pearson(int((flagged & side).sum()), int(side.sum())), flagged, side))
        return rates.interval()

    return GroupMetrics(
        group=name,
        records=int(inside.sum()),
        members=float(members.mean()),
        non_members=float(non_members.mean()),
        auc=auc.interval() if complete else None,
        tpr_common=common_rate(member),
        fpr_common=common_rate(~member),
        tpr_own=own.interval() if complete else None,
        own_resolvable=resolvable,
        p_value=p_values[0],
        p_value_holm=p_values[1],
    )
