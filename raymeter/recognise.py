"""Which attack, with which settings, gives these scores? Candidates on the same signals, compared by their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from jaxtyping import Float
from scipy import stats

from raymeter.attacks import Base, Calibrated, Empirical, Entropy, Lira, Loss, Rmia
from raymeter.attacks.lira import Mode, Variance, predictive_law, shared_prior
from raymeter.attacks.moments import moments
from raymeter.errors import SignalError
from raymeter.schema import Scores, Signals

OFFLINE_A = (0.0, 0.1, 0.2, 0.3, 0.33, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
GAMMAS = (1.5, 2.0, 4.0)  # of the count of dominated population records; with 1 it orders as the ratio itself does
VARIANCES: tuple[Variance, ...] = ("nig", "per_sample", "global", "pooled")
SAME_ORDER = 0.9995
TINY = 1e-30  # which the authors add to a standard deviation


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


def log_density_scores(signals: Signals, variance: Variance) -> Float[np.ndarray, "examples targets"]:
    """Minus the log-density of the target's signal under the OUT references, summed over queries: two-sided.

    References:
        tensorflow/privacy, mi_lira_2021/plot.py (offline); PrivacyGuard, lira_attack.py.
    """
    matrix = signals.audit["logit_gap"]
    total = np.zeros((len(matrix.values), len(matrix.targets)))
    for query in range(matrix.values.shape[2]):
        values = matrix.values[:, :, query].astype(np.float64)
        prior = None
        if variance != "per_sample":
            prior = shared_prior(matrix, lambda rows, query=query: matrix.values[rows, :, query], "out")  # type: ignore[misc]
        law = predictive_law(moments(values, ~matrix.member, matrix.reference), prior, variance)
        total -= law.log_density(values[:, matrix.targets])
    return total


def published_lira_scores(signals: Signals, mode: Mode, fixed: bool) -> Float[np.ndarray, "examples targets"]:
    """LiRA as the authors' code computes it: medians for means, normal laws, views averaged; higher means member.

    A fixed variance is that of all IN signals for both sides online, of all OUT signals offline. Offline the score is
    minus the log-density, two-sided. Every record counts the same number of references a side: the first ones of those
    that have more.

    References:
        Carlini et al., S&P 2022, arXiv:2112.03570; tensorflow/privacy@3d499e69, mi_lira_2021/plot.py.
    """
    matrix = signals.audit["logit_gap"]
    values = matrix.values.astype(np.float64)
    found = np.empty((len(values), len(matrix.targets)))
    for t, target in enumerate(matrix.targets):
        own, judges = values[:, target], matrix.reference[t]
        out = _side_of(values, ~matrix.member & judges, "out")
        if mode == "offline":
            spread = np.full_like(own, out.std()) if fixed else out.std(axis=1)
            found[:, t] = -stats.norm.logpdf(own, np.median(out, axis=1), spread + TINY).mean(axis=1)
            continue
        inside = _side_of(values, matrix.member & judges, "in")
        spreads = [np.full_like(own, inside.std())] * 2 if fixed else [inside.std(axis=1), out.std(axis=1)]
        densities = [
            stats.norm.logpdf(own, np.median(side, axis=1), spread + TINY)
            for side, spread in zip((inside, out), spreads, strict=True)
        ]
        found[:, t] = (densities[0] - densities[1]).mean(axis=1)
    return found


def _side_of(values: np.ndarray, mask: np.ndarray, side: str) -> Float[np.ndarray, "examples references queries"]:
    """Each record's signals under its first references of a side, as many as every record has."""
    count = int(mask.sum(axis=1).min())
    if count < 1:
        raise SignalError(f"a record has no {side.upper()} reference; train more models")
    rows, columns = np.nonzero(mask & (np.cumsum(mask, axis=1) <= count))
    chosen: np.ndarray = values[rows, columns].reshape(len(values), count, values.shape[2])
    return chosen


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
