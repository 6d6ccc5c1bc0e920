"""Which attack, with which settings, gives these scores? Candidates on the same signals, compared by their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from scipy import stats

from raymeter.analysis.differences.published_lira import log_density_scores, published_lira_scores
from raymeter.attacks import Base, Calibrated, Empirical, Entropy, Lira, Loss, Rmia
from raymeter.attacks.common.predictive_law import Variance
from raymeter.attacks.lira import Mode
from raymeter.errors import SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.signals import Signals

OFFLINE_A = (0.0, 0.1, 0.2, 0.3, 0.33, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
GAMMAS = (1.5, 2.0, 4.0)  # of the count of dominated population records; with 1 it orders as the ratio itself does
VARIANCES: tuple[Variance, ...] = ("nig", "per_sample", "global", "pooled")
SAME_ORDER = 0.9995


@dataclass(frozen=True)
class Match:
    """A way of making scores, and how alike the order of its scores is: Spearman's correlation, mean over targets."""

    name: str
    correlation: float
    steps: int | None = None

    @property
    def is_same(self) -> bool:
        return self.correlation >= SAME_ORDER


def recognise(signals: Signals, scores: Scores) -> list[Match]:
    """The ways in which these scores may have been made from these signals, the likeliest first.

    Targets are found by their members, records by their ids. Every attack is tried with the reference models that
    an audit allows, and with all models but the target, its complement among them. Beside one-sided LiRA offline
    the two-sided log-density of the published code is tried, which is large on both sides of the OUT mean.

    Raises:
        SignalError: The two have fewer than ten records, or no target, in common.
    """
    matrix = signals.audit["log_prob"]
    ids, mine, theirs = np.intersect1d(matrix.ids, scores.ids, return_indices=True)
    if len(ids) < 10:
        raise SignalError(
            f"{len(ids)} records in common are too few to compare an order; give results of the same records"
        )
    pairs = [
        (t, int(s))
        for t, column in enumerate(matrix.targets)
        for s in np.flatnonzero((scores.member[theirs] == matrix.member[mine, column, None]).all(axis=0))[:1]
    ]
    if not pairs:
        raise SignalError("no target of the scores has the members of a target of the signals; the memberships differ")
    places = np.array([t for t, _ in pairs])
    wanted = scores.values[theirs][:, [s for _, s in pairs]]
    steps = max(len(np.unique(column)) for column in wanted.T)
    found = []
    for name, made in _candidates(signals, places):
        found.append(Match(name, _correlation(made[mine], wanted), steps))
    return sorted(found, key=lambda match: -abs(match.correlation))


def _candidates(signals: Signals, places: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Names of ways to make scores, with the scores of some targets; what cannot run is left out."""
    for which, reference in (("", None), (", with the target's complement among the references", True)):
        chosen = _narrow(signals, places, whole=reference is not None)
        if which and np.array_equal(
            chosen.audit["log_prob"].reference, signals.audit["log_prob"].reference[places]
        ):  # no complements
            return
        for name, attack in _ways(uses_references=bool(which)):
            try:
                yield f"{name}{which}", attack(chosen)
            except SignalError:
                continue


def _ways(uses_references: bool) -> Iterator[tuple[str, Callable[[Signals], np.ndarray]]]:
    if not uses_references:
        yield "loss", lambda s: Loss()(s).values
        yield "entropy (modified)", lambda s: Entropy()(s).values
        yield "entropy (plain)", lambda s: Entropy("plain")(s).values
    for a in OFFLINE_A:
        yield f"rmia offline, offline_a {a:g}", _of_rmia(Rmia(offline_a=a))
    yield "rmia online", _of_rmia(Rmia(mode="online"))
    for gamma in GAMMAS:
        yield f"rmia online by its count, gamma {gamma:g}", _count(Rmia(mode="online", form="count", gamma=gamma))
        for a in OFFLINE_A:
            counted = Rmia(offline_a=a, form="count", gamma=gamma)
            yield f"rmia offline by its count, offline_a {a:g}, gamma {gamma:g}", _count(counted)
    yield "base offline", lambda s: Base("offline")(s).values
    for variance in VARIANCES:
        online, offline = Lira(variance=variance), Lira("offline", variance)
        yield f"lira online, variance {variance}", lambda s, way=online: way(s).values  # type: ignore[misc]
        yield f"lira offline by its tail, variance {variance}", lambda s, way=offline: way(s).values  # type: ignore[misc]
        yield (
            f"lira offline by its two-sided log-density, variance {variance}",
            lambda s, v=variance: log_density_scores(s, v),  # type: ignore[misc]
        )
    for mode in get_args(Mode):
        for fixed in (False, True):
            name = f"lira {mode} as its authors' code has it (medians), {'fixed' if fixed else 'own'} variance"
            yield name, lambda s, mode=mode, fixed=fixed: published_lira_scores(s, mode, fixed)  # type: ignore[misc]
    yield "calibrated (watson)", lambda s: Calibrated()(s).values
    yield "calibrated (sablayrolles)", lambda s: Calibrated("sablayrolles")(s).values
    yield "empirical", lambda s: Empirical()(s).values


def _count(attack: Rmia) -> Callable[[Signals], np.ndarray]:
    return lambda signals: attack(signals).values


def _of_rmia(attack: Rmia) -> Callable[[Signals], np.ndarray]:
    """RMIA's order within a target, with or without a population."""

    def scores(signals: Signals) -> np.ndarray:
        matrix = signals.audit["log_prob"]
        if len(signals.population["log_prob"].values):
            return attack(signals).values
        one = replace(
            matrix, values=matrix.values[:1], member=np.zeros_like(matrix.member[:1]), ids=matrix.ids[:1], labels=None
        )
        return attack(replace(signals, population={"log_prob": one})).values

    return scores


def _narrow(signals: Signals, places: np.ndarray, whole: bool) -> Signals:
    """Some targets, judged by those that an audit allows or by all other models."""
    audit = {}
    for kind, matrix in signals.audit.items():
        targets = matrix.targets[places]
        reference = matrix.reference[places]
        if whole:
            reference = np.ones_like(reference)
            reference[np.arange(len(targets)), targets] = False
        audit[kind] = replace(matrix, reference=reference, targets=targets)
    return replace(signals, audit=audit)


def _correlation(made: np.ndarray, wanted: np.ndarray) -> float:
    """Spearman's correlation, mean over targets; 0 where nothing varies."""
    found = []
    for one, other in zip(made.T, wanted.T, strict=True):
        if np.ptp(one) == 0 or np.ptp(other) == 0:
            found.append(0.0)
            continue
        found.append(float(stats.spearmanr(one, other).statistic))
    return float(np.mean(found))
