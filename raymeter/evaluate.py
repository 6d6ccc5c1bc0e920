"""How well one setting does on some targets of stored signals; pure, and what a sweep repeats thousands of times."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.stats import norm

from raymeter.attacks import Attack
from raymeter.errors import SignalError
from raymeter.power import first_units, unit_orders
from raymeter.results import Difference, Interval, MeanInterval
from raymeter.schema import Scores, SignalMatrix, Signals
from raymeter.stats import (
    auc,
    auc_interval,
    dependent_targets,
    mean_over_targets,
    roc_curve,
    t_difference,
    tpr_at_fpr,
)
from raymeter.stats.roc import divide
from raymeter.stats.tpr import allowed_false_positives, threshold_at_fpr

LOWEST_FPR = 0.001  # log_auc looks at false-positive rates from here to 1
LOG_AUC_CHANCE = (1 - LOWEST_FPR) / -np.log(LOWEST_FPR)
DRAWS, BOOTSTRAP_SEED = 200, 1851
NORMAL_95 = 1.959964
LIMITS = ("references", "queries", "population")  # of a setting: how much of the signals it may use
RESULTS = ("metric", "sd", "records", "error", "seconds")  # what comes of a setting
Reference = Bool[np.ndarray, "targets models"]


@dataclass(frozen=True)
class Metric:
    """What settings are ranked by, as a function of one target's scores: `auc`, `log_auc` or `tpr@<fpr>`.

    `log_auc` is the mean TPR over false-positive rates that are spread evenly on a logarithmic scale from 0.1 %
    to 1: every decade counts as much.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in ("auc", "log_auc") and not re.fullmatch(r"tpr@(0|0?\.\d+)", self.name):
            raise ValueError(f"metric must be auc, log_auc or tpr@<fpr> such as tpr@0.001, got {self.name}")

    @property
    def chance(self) -> float:
        """What scores that say nothing reach."""
        return {"auc": 0.5, "log_auc": LOG_AUC_CHANCE}[self.name] if "@" not in self.name else self.fpr

    def resolvable(self, scores: Scores) -> bool:
        """Whether the false-positive rate of a `tpr@` metric allows every target a false positive."""
        if "@" not in self.name or self.fpr == 0:
            return True
        fewest = int((~scores.member).sum(axis=0).min())
        return allowed_false_positives(self.fpr, fewest) >= 1

    @property
    def fpr(self) -> float:
        """The false-positive rate of a `tpr@` metric."""
        return float(self.name.partition("@")[2])

    def of(self, scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]) -> float:
        """The metric of one target, without its interval."""
        if self.name == "auc":
            return auc(scores, member)
        if self.name == "log_auc":
            return log_auc(scores, member)
        members, non_members = divide(scores, member)
        return float(np.mean(members > threshold_at_fpr(non_members, self.fpr)))

    def interval(self, scores: Scores, clusters: Int64[np.ndarray, " targets"]) -> MeanInterval:
        """Mean over targets with its interval; of one cluster, the mean of the targets' own intervals."""
        columns = list(zip(scores.values.T, scores.member.T, strict=True))
        if self.name == "auc":
            return mean_over_targets([auc_interval(*column) for column in columns], clusters)
        if self.name == "log_auc":
            alone = len(np.unique(clusters)) == 1
            return mean_over_targets([_log_auc_interval(*column, alone) for column in columns], clusters)
        return mean_over_targets([tpr_at_fpr(*column, self.fpr) for column in columns], clusters)

    def gain(self, first: Scores, second: Scores, clusters: Int64[np.ndarray, " targets"]) -> Difference:
        """First minus second on the same targets: mean of the paired differences, with Student's t over clusters.

        With one cluster the interval is normal, with the standard error of a paired, stratified bootstrap of
        each target's records, averaged over its targets.
        """
        triples = list(zip(first.values.T, second.values.T, first.member.T, strict=True))
        differences = np.array([self.of(a, m) - self.of(b, m) for a, b, m in triples])
        found = t_difference(differences, clusters)
        if found is not None:
            return found
        estimate = float(differences.mean())
        if not differences.any():
            return Difference(0.0, 0.0, 0.0, 1.0)

        def error(triple: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
            a, b, m = triple
            draws = _resampled(lambda rows: self.of(a[rows], m[rows]) - self.of(b[rows], m[rows]), m)
            return float(draws.std(ddof=1))

        mean_error = float(np.mean([error(triple) for triple in triples]))
        p_value = float(2 * norm.sf(abs(estimate) / mean_error)) if mean_error > 0 else 1.0
        half = NORMAL_95 * mean_error
        return Difference(estimate, max(estimate - half, -1.0), min(estimate + half, 1.0), p_value)


def log_auc(scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]) -> float:
    """Area under the ROC with a logarithmic FPR axis from 0.1 % to 1, divided by its length; chance is 0.145."""
    fpr, tpr, _ = roc_curve(scores, member)
    steps = np.log(np.clip(np.append(fpr, 1.0), LOWEST_FPR, 1.0))
    return float((np.diff(steps) * tpr).sum() / -np.log(LOWEST_FPR))


def _log_auc_interval(scores: np.ndarray, member: np.ndarray, alone: bool) -> Interval:
    """One target's log_auc; with percentiles of a stratified bootstrap where it stands `alone`, else no width."""
    value = log_auc(scores, member)
    if not alone:
        return Interval(value, value, value)
    draws = _resampled(lambda rows: log_auc(scores[rows], member[rows]), member)
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, float(min(low, value)), float(max(high, value)))


def _resampled(of: Callable[[np.ndarray], float], member: Bool[np.ndarray, " examples"]) -> np.ndarray:
    """A figure of resamples that take as many members and as many non-members as there are, with replacement."""
    rng, sides = np.random.default_rng(BOOTSTRAP_SEED), (np.flatnonzero(member), np.flatnonzero(~member))
    return np.array([of(np.concatenate([rng.choice(side, len(side)) for side in sides])) for _ in range(DRAWS)])


@dataclass(frozen=True)
class Limits:
    """How much of the stored signals a setting may use; None is all.

    Args:
        references: Reference units (complementary pairs) per target.
        queries: The first so many views.
        population: So many population records, drawn by the sweep's seed.
        records: So many audited records, evenly spaced.
    """

    references: int | None = None
    queries: int | None = None
    population: int | None = None
    records: int | None = None


def restrict(signals: Signals, targets: Int64[np.ndarray, " chosen"], limits: Limits, seed: int) -> Signals:
    """The signals with some targets (positions), fewer references, views, population records or audited records.

    Raises:
        SignalError: More is asked for than there is.
    """
    matrix = next(iter(signals.audit.values()))
    apart, reference = matrix.may_not_judge(), matrix.reference[targets]
    chosen = replace(matrix, reference=reference, targets=matrix.targets[targets], apart=apart)
    if limits.references is not None:
        reference = _fewer_references(chosen, limits.references, seed)
    outside = next(iter(signals.population.values()))
    _at_most("queries", limits.queries, matrix.values.shape[2])
    _at_most("population", limits.population, len(outside.values))
    _at_most("records", limits.records, len(matrix.values))
    rows = _evenly(len(matrix.values), limits.records)
    drawn = _drawn(len(outside.values), limits.population, seed)

    def cut(found: SignalMatrix, some: Int64[np.ndarray, " rows"] | None) -> SignalMatrix:
        part: Int64[np.ndarray, " rows"] | slice = slice(None) if some is None else some
        return replace(
            found,
            values=found.values[part, :, : limits.queries],
            member=found.member[part],
            ids=found.ids[part],
            labels=None if found.labels is None else found.labels[part],
            reference=reference,
            targets=chosen.targets,
            apart=apart,
        )

    def cut_logits(found: np.ndarray | None, some: Int64[np.ndarray, " rows"] | None) -> np.ndarray | None:
        return None if found is None else found[slice(None) if some is None else some, :, : limits.queries]

    return Signals(
        audit={kind: cut(found, rows) for kind, found in signals.audit.items()},
        population={kind: cut(found, drawn) for kind, found in signals.population.items()},
        audit_logits=cut_logits(signals.audit_logits, rows),
        population_logits=cut_logits(signals.population_logits, drawn),
    )


def evaluate(
    attack: Attack, signals: Signals, targets: Int64[np.ndarray, " chosen"], limits: Limits, metric: Metric, seed: int
) -> Float[np.ndarray, " chosen"]:
    """The metric of each of some targets under one setting.

    Raises:
        SignalError: The attack cannot run within these limits.
    """
    scores = attack(restrict(signals, targets, limits, seed))
    return np.array([metric.of(v, m) for v, m in zip(scores.values.T, scores.member.T, strict=True)])


def divide_targets(
    signals: Signals, share: float, seed: int
) -> tuple[Int64[np.ndarray, " selection"], Int64[np.ndarray, " report"]]:
    """Positions of the targets that settings are selected on, and of those that the winner is reported on.

    Dependent targets (a model and its complement) are on the same side; which clusters go where is drawn.

    Raises:
        SignalError: There are fewer than two independent targets.
    """
    matrix = next(iter(signals.audit.values()))
    clusters = dependent_targets(matrix.reference, matrix.targets)
    names = np.random.default_rng(seed).permutation(np.unique(clusters))
    if len(names) < 2:
        raise SignalError(
            "a sweep needs targets of two complementary pairs, one to select on and one to report on; audit more models"
        )
    selected = names[: min(max(1, round(share * len(names))), len(names) - 1)]
    is_selected = np.isin(clusters, selected)
    return np.flatnonzero(is_selected), np.flatnonzero(~is_selected)


def without_models_of(
    signals: Signals, selection: Int64[np.ndarray, " selection"], report: Int64[np.ndarray, " report"]
) -> Signals:
    """The signals as settings are ranked on them: no report target is a reference of a selection target.

    Scores of a selection target contain what its references know and do not know, and who was a member of them. A
    setting that wins by what the report targets' own signals look like by chance would look good on them again.
    """
    matrix = next(iter(signals.audit.values()))
    reference = matrix.reference.copy()
    reference[np.ix_(selection, matrix.targets[report])] = False
    return replace(
        signals,
        audit={kind: found.with_references(reference) for kind, found in signals.audit.items()},
        population={kind: found.with_references(reference) for kind, found in signals.population.items()},
    )


def most_references(signals: Signals, targets: Int64[np.ndarray, " chosen"] | None = None) -> int:
    """How many reference units each of some targets (positions; by default all) has at least."""
    orders = unit_orders(next(iter(signals.audit.values())), seed=0)
    return min(len(orders[t]) for t in (range(len(orders)) if targets is None else targets))


def _fewer_references(matrix: SignalMatrix, count: int, seed: int) -> Reference:
    orders = unit_orders(matrix, seed)
    for order in orders:
        _at_most("references", count, len(order))
    return first_units(matrix, orders, count)


def _at_most(what: str, asked: int | None, there: int) -> None:
    if asked is not None and not 1 <= asked <= there:
        raise SignalError(f"{what}: {asked} asked for, the stored signals have {there}")


def _evenly(size: int, count: int | None) -> Int64[np.ndarray, " rows"] | None:
    return None if count is None or count == size else np.linspace(0, size - 1, count).astype(np.int64)


def _drawn(size: int, count: int | None, seed: int) -> Int64[np.ndarray, " rows"] | None:
    if count is None or count == size:
        return None
    return np.sort(np.random.default_rng(seed).permutation(size)[:count])


def rungs(records: int, fewest: int = 1000, factor: int = 4) -> Sequence[int]:
    """Growing numbers of records at which poor settings are given up: 1,000, 4,000, ... and all."""
    found = []
    while fewest < records:
        found.append(fewest)
        fewest *= factor
    return [*found, records]
