"""Scores -> metrics per target, means over targets, and one row per audited record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

from raymeter.schema.mapped import forget_pages
from raymeter.schema.results import AttackResult, Interval, TargetMetrics, TprEstimate
from raymeter.schema.scores import Scores
from raymeter.stats.figures import Figure, auc_figure, tpr_figures
from raymeter.stats.means import MeanOverTargets, dependent_targets
from raymeter.stats.records import caught_counts, coin_flip, flip_rate, mean_where, rank_intervals, risk_rank
from raymeter.stats.roc import roc_curve, thin
from raymeter.stats.threads import MOST_POINTS, for_each, in_turn

FPRS = (0.01, 0.001, 0.0)
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
            trained on dependent data and count as one training when the mean's interval is computed.
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


def _summarise_attack(scores: Scores, clusters: np.ndarray, fprs: Sequence[float]) -> AttackResult:
    names = [f"{fpr:g}" for fpr in fprs]

    def figures(t: int) -> tuple[Figure[Interval], dict[str, Figure[TprEstimate]]]:
        column = scores.values[:, t], scores.member[:, t]
        return auc_figure(*column), dict(zip(names, tpr_figures(*column, fprs), strict=True))

    auc, rates, targets = MeanOverTargets(clusters), {name: MeanOverTargets(clusters) for name in names}, []
    for t, (area, of_rates) in enumerate(in_turn(figures, range(len(scores.targets)), len(scores.values))):
        auc.add(area)
        for name, rate in of_rates.items():
            rates[name].add(rate)
        member = scores.member[:, t]
        targets.append(
            TargetMetrics(
                target=int(scores.targets[t]),
                members=int(member.sum()),
                non_members=int((~member).sum()),
                auc=area.interval,
                tpr_at_fpr={name: rate.interval for name, rate in of_rates.items()},
            )
        )
    return AttackResult(
        name=scores.attack,
        scores=scores,
        targets=tuple(targets),
        auc=auc.interval(),
        tpr_at_fpr={name: rate.interval() for name, rate in rates.items()},
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
