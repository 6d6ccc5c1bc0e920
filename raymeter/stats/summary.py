"""Scores -> metrics per target, means over targets, and one row per audited record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64
from scipy import stats
from scipy.sparse.csgraph import connected_components

from raymeter.schema.mapped import forget_pages
from raymeter.schema.results import AttackResult, Interval, MeanInterval, TargetMetrics, TprEstimate
from raymeter.schema.scores import Scores
from raymeter.stats.auc import auc_interval
from raymeter.stats.records import caught_counts, coin_flip, flip_rate, mean_where, rank_intervals, risk_rank
from raymeter.stats.roc import roc_curve, thin
from raymeter.stats.threads import MOST_POINTS, for_each
from raymeter.stats.tpr import tpr_at_fpr

FPRS = (0.01, 0.001, 0.0)
ROUNDING = 1e-12  # differences of rates below this are none
CAUGHT_FPRS = {0.01: "1pct", 0.001: "0.1pct"}
COIN_FPR = 0.01


def summarise(
    scores: Sequence[Scores],
    reference: Bool[np.ndarray, "targets models"],
    labels: Int64[np.ndarray, " examples"] | None,
    fprs: Sequence[float] = FPRS,
    seed: int = 0,
) -> tuple[tuple[AttackResult, ...], dict[str, np.ndarray]]:
    """Metrics of every attack, and the table of records.

    Args:
        scores: One entry per attack, all on the same records and targets.
        reference: Which model may judge which target; targets that may not judge one another were
            trained on dependent data and count as one when the mean's interval is computed.
        labels: Class of each record, if known.
        fprs: False-positive rates at which the true-positive rate is reported.
        seed: Of the rank intervals.

    Returns:
        The results in the order of `scores`, and columns `id`, `label`, `targets_in` and per attack
        `<attack>_mean_in`, `<attack>_mean_out` (mean score over targets that did and did not train on
        the record), `<attack>_caught_at_1pct` and `_caught_at_0.1pct` (share of the targets that trained
        on it whose threshold at that FPR it exceeds; NaN where the rate is not resolvable),
        `<attack>_flip_rate` and `_coin_flip` (at 1 %, masked with fewer than six such targets),
        `<attack>_rank` (1 = most at risk, see `risk_rank`), `_rank_low` and `_rank_high` (90 %).

    Raises:
        SignalError: A target has no members or no non-members among the records, or a score is NaN.

    Examples:
        >>> member = np.array([[True, False, True, False], [False, True, True, False]])
        >>> scores = Scores("loss", np.where(member, [[3.0], [1.0]], 0.0), member, np.arange(2), np.arange(4))
        >>> first_pair = Scores("loss", scores.values[:, :2], member[:, :2], scores.ids, np.arange(2))
        >>> reference = np.array([[False, False, True, True], [False, False, True, True]])
        >>> results, table = summarise([first_pair], reference, labels=None)
        >>> results[0].auc.estimate, results[0].auc.targets, table["loss_mean_in"].tolist(), table["loss_rank"].tolist()
        (1.0, 2, [3.0, 1.0], [1, 2])
    """
    clusters = dependent_targets(reference, scores[0].targets)
    results = []
    table: dict[str, np.ndarray] = {"id": scores[0].ids}
    if labels is not None:
        table["label"] = labels
    table["targets_in"] = scores[0].member.sum(axis=1)
    for attack in scores:
        results.append(_summarise_attack(attack, clusters, fprs))
        columns = _record_columns(attack, clusters, seed)
        table |= {f"{attack.attack}_{name}": column for name, column in columns.items()}
        forget_pages(attack.values)
    return tuple(results), table


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


def mean_over_targets(
    intervals: Sequence[Interval | TprEstimate], clusters: Int64[np.ndarray, " targets"], confidence: float = 0.95
) -> MeanInterval:
    """Mean and standard deviation over targets, with a t-interval over the means of dependent targets.

    With one cluster, or none of the spread that a t-interval lives on, the mean of the targets' own
    intervals is given instead. Bounds stay within [0, 1].

    Examples:
        >>> areas = [Interval(0.75, 0.625, 0.875), Interval(0.75, 0.5, 1.0)]  # nothing varies: their own intervals
        >>> mean_over_targets(areas, np.array([0, 1]))
        MeanInterval(estimate=0.75, low=0.5625, high=0.9375, sd=0.0, targets=2)
    """
    estimates = np.array([interval.estimate for interval in intervals])
    mean = float(estimates.mean())
    sd = float(estimates.std(ddof=1)) if len(estimates) > 1 else 0.0
    means = np.array([estimates[clusters == cluster].mean() for cluster in np.unique(clusters)])
    if len(means) < 2 or np.ptp(means) < ROUNDING:
        low = float(np.mean([interval.low for interval in intervals]))
        high = float(np.mean([interval.high for interval in intervals]))
    else:
        half = stats.t.ppf((1 + confidence) / 2, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
        low, high = float(max(mean - half, 0.0)), float(min(mean + half, 1.0))
    return MeanInterval(mean, min(low, mean), max(high, mean), sd, len(estimates))


def _summarise_attack(scores: Scores, clusters: np.ndarray, fprs: Sequence[float]) -> AttackResult:
    names = [f"{fpr:g}" for fpr in fprs]

    def metrics(t: int) -> TargetMetrics:
        values, member = scores.values[:, t], scores.member[:, t]
        return TargetMetrics(
            target=int(scores.targets[t]),
            members=int(member.sum()),
            non_members=int((~member).sum()),
            auc=auc_interval(values, member),
            tpr_at_fpr={name: tpr_at_fpr(values, member, fpr) for name, fpr in zip(names, fprs, strict=True)},
        )

    targets = tuple(for_each(metrics, range(len(scores.targets)), len(scores.values)))
    return AttackResult(
        name=scores.attack,
        scores=scores,
        targets=targets,
        auc=mean_over_targets([target.auc for target in targets], clusters),
        tpr_at_fpr={
            name: mean_over_targets([target.tpr_at_fpr[name] for target in targets], clusters) for name in names
        },
        resolvable={name: all(target.tpr_at_fpr[name].resolvable for target in targets) for name in names},
        curves=_thin_curves(scores) if len(scores.values) > MOST_POINTS else (),
    )


def _thin_curves(scores: Scores) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The vertices of each target's ROC that a picture shows."""

    def curve(t: int) -> tuple[np.ndarray, np.ndarray]:
        return thin(*roc_curve(scores.values[:, t], scores.member[:, t])[:2])

    return tuple(for_each(curve, range(len(scores.targets)), len(scores.values)))


def _record_columns(scores: Scores, clusters: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    member = scores.member
    mean_in, mean_out = mean_where(scores.values, member), mean_where(scores.values, ~member)
    columns = {"mean_in": mean_in, "mean_out": mean_out}
    for fpr, name in CAUGHT_FPRS.items():
        caught, trials, resolvable = caught_counts(scores, fpr)
        share = np.divide(caught, trials, out=np.full(len(trials), np.nan), where=(trials > 0) & resolvable)
        columns[f"caught_at_{name}"] = share
        if fpr == COIN_FPR:
            flips, defined = coin_flip(caught, trials)
            columns["flip_rate"] = flip_rate(caught, trials)
            columns["coin_flip"] = np.ma.masked_array(flips, mask=~defined)
    low, high = rank_intervals(scores, clusters, seed)
    return columns | {"rank": risk_rank(mean_in, mean_out), "rank_low": low, "rank_high": high}
