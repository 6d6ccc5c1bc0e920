"""Which attack, with which settings, gives these scores? Candidates on the same signals, compared by their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import get_args

import numpy as np
import scipy
from jaxtyping import Int64

from raymeter.analysis.differences.privacy_meter_rmia import privacy_meter_rmia_scores
from raymeter.analysis.differences.published_lira import log_density_scores, published_lira_scores
from raymeter.attacks import Attack, Base, Calibrated, Empirical, Entropy, Lira, Loss, Rmia
from raymeter.attacks.common.predictive_law import Variance
from raymeter.attacks.lira import Mode
from raymeter.errors import SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.selection import select
from raymeter.schema.signals import Signals
from raymeter.stats import threshold_at_fpr

OFFLINE_A = (0.0, 0.1, 0.2, 0.3, 0.33, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
GAMMAS = (1.0, 1.5, 2.0, 4.0)  # of the count of dominated population records
VARIANCES: tuple[Variance, ...] = ("nig", "per_sample", "global", "pooled")
SAME_ORDER, SAME_TOP = 0.9995, 0.005


@dataclass(frozen=True)
class Match:
    """A way of making scores, and how alike its scores are.

    Args:
        name: Of the attack with its settings.
        correlation: Spearman's, mean over targets.
        steps: Of how many different values the scores are at most.
        apart: Difference of the TPRs at 1 % FPR, mean over targets: orders that agree over all may differ at the top,
            by ties alone.
        equal: Targets whose order is the same, ties included, of all.
        variant: Whether other tools have it so, and no attack of raymeter's.
        exact: Whether the values are the same too.
    """

    name: str
    correlation: float
    steps: int | None = None
    apart: float = 0.0
    equal: tuple[int, int] | None = None
    variant: bool = False
    exact: bool = False

    @property
    def is_same(self) -> bool:
        return self.correlation >= SAME_ORDER and self.apart <= SAME_TOP


@dataclass(frozen=True)
class Candidate:
    """A way to make scores from signals: an attack with its settings, or a variant that other tools publish."""

    name: str
    family: type[Attack]
    scores: Callable[[Signals], np.ndarray]
    variant: bool = False


def recognise(signals: Signals, scores: Scores) -> list[tuple[Match, type[Attack]]]:
    """The ways in which these scores may have been made from these signals, the likeliest first, with their attacks.

    Targets are found by their members, records by their ids. Every attack is tried with the reference models that
    an audit allows, and with all models but the target, its complement among them. Next to one-sided LiRA offline
    the two-sided log-density of the published code is tried, which is large on both sides of the OUT mean.

    Raises:
        SignalError: The two have fewer than ten records, or no target, in common.
    """
    matrix = signals.audit["log_prob"]
    ids, signal_rows, score_rows = np.intersect1d(matrix.ids, scores.ids, return_indices=True)
    if len(ids) < 10:
        raise SignalError(
            f"{len(ids)} records in common are too few to compare an order; give results of the same records"
        )
    pairs = [
        (t, int(s))
        for t, column in enumerate(matrix.targets)
        for s in np.flatnonzero((scores.member[score_rows] == matrix.member[signal_rows, column, None]).all(axis=0))[:1]
    ]
    if not pairs:
        raise SignalError("no target of the scores has the members of a target of the signals; the memberships differ")
    places = np.array([t for t, _ in pairs])
    wanted = scores.values[score_rows][:, [s for _, s in pairs]]
    steps = max(len(np.unique(column)) for column in wanted.T)
    member = scores.member[score_rows][:, [s for _, s in pairs]]
    matches = [
        (_match(candidate, candidate_scores[signal_rows], wanted, member, steps), candidate.family)
        for candidate, candidate_scores in _scored_candidates(signals, places)
    ]
    return sorted(matches, key=lambda match: (not match[0].exact, -round(abs(match[0].correlation), 4), match[0].apart))


def _scored_candidates(
    signals: Signals, places: Int64[np.ndarray, " chosen"]
) -> Iterator[tuple[Candidate, np.ndarray]]:
    """Candidates with their scores of some targets; what cannot run is left out."""
    for which, whole in (("", False), (", with the target's complement among the references", True)):
        chosen = _chosen_targets(signals, places, whole)
        if whole and np.array_equal(
            chosen.audit["log_prob"].reference, signals.audit["log_prob"].reference[places]
        ):  # no complements
            return
        for candidate in _candidates():
            if whole and not candidate.family.needs_references:
                continue
            try:
                variant = candidate.variant or whole
                named = replace(candidate, name=f"{candidate.name}{which}", variant=variant)
                yield named, candidate.scores(chosen)
            except SignalError:
                continue


def _candidates() -> Iterator[Candidate]:
    yield Candidate("loss", Loss, _scores_of(Loss()))
    yield Candidate("entropy (modified)", Entropy, _scores_of(Entropy()))
    yield Candidate("entropy (plain)", Entropy, _scores_of(Entropy("plain")))
    for a in OFFLINE_A:
        yield Candidate(f"rmia offline, offline_a {a:g}", Rmia, _order_of(Rmia(offline_a=a)))
    yield Candidate("rmia online", Rmia, _order_of(Rmia(mode="online")))
    for gamma in GAMMAS:
        online = Rmia(mode="online", form="count", gamma=gamma)
        yield Candidate(f"rmia online by its count, gamma {gamma:g}", Rmia, _scores_of(online))
        for a in OFFLINE_A:
            counted = Rmia(offline_a=a, form="count", gamma=gamma)
            yield Candidate(f"rmia offline by its count, offline_a {a:g}, gamma {gamma:g}", Rmia, _scores_of(counted))
    for a in OFFLINE_A:
        name = f"rmia as Privacy Meter has it (population by the upper half of references), offline_a {a:g}"
        yield Candidate(name, Rmia, partial(privacy_meter_rmia_scores, offline_a=a), variant=True)
    yield Candidate("base offline", Base, _scores_of(Base("offline")))
    for variance in VARIANCES:
        yield Candidate(f"lira online, variance {variance}", Lira, _scores_of(Lira(variance=variance)))
        yield Candidate(f"lira offline by its tail, variance {variance}", Lira, _scores_of(Lira("offline", variance)))
        density = partial(log_density_scores, variance=variance)
        yield Candidate(f"lira offline by its two-sided log-density, variance {variance}", Lira, density, variant=True)
    for mode in get_args(Mode):
        for fixed in (False, True):
            name = f"lira {mode} as its authors' code has it (medians), {'fixed' if fixed else 'own'} variance"
            yield Candidate(name, Lira, partial(published_lira_scores, mode=mode, fixed=fixed), variant=True)
    yield Candidate("calibrated (watson)", Calibrated, _scores_of(Calibrated()))
    yield Candidate("calibrated (sablayrolles)", Calibrated, _scores_of(Calibrated("sablayrolles")))
    yield Candidate("empirical", Empirical, _scores_of(Empirical()))


def _scores_of(attack: Attack) -> Callable[[Signals], np.ndarray]:
    return lambda signals: attack(signals).values


def _order_of(attack: Rmia) -> Callable[[Signals], np.ndarray]:
    """RMIA's order within a target, with or without a population."""

    def scores(signals: Signals) -> np.ndarray:
        matrix = signals.audit["log_prob"]
        if len(signals.population["log_prob"].values):
            return attack(signals).values
        single = replace(
            matrix, values=matrix.values[:1], member=np.zeros_like(matrix.member[:1]), ids=matrix.ids[:1], labels=None
        )
        return attack(replace(signals, population={"log_prob": single})).values

    return scores


def _chosen_targets(signals: Signals, places: np.ndarray, whole: bool) -> Signals:
    """Some targets, judged by those that an audit allows or by all other models."""
    if not whole:
        return select(signals, targets=places)
    attacked = signals.design.targets[places]
    references = np.ones((len(places), signals.design.member.shape[1]), dtype=bool)
    references[np.arange(len(places)), attacked] = False
    return select(signals, targets=places, references=references)


def _match(
    candidate: Candidate, candidate_scores: np.ndarray, wanted: np.ndarray, member: np.ndarray, steps: int
) -> Match:
    """How alike a candidate's scores are; a correlation of 0 where nothing varies."""
    correlations, apart = [], []
    for column, wanted_column, side in zip(candidate_scores.T, wanted.T, member.T, strict=True):
        varies = np.ptp(column) > 0 and np.ptp(wanted_column) > 0
        correlations.append(float(scipy.stats.spearmanr(column, wanted_column).statistic) if varies else 0.0)
        if side.any() and not side.all():
            apart.append(abs(rate_at(column, side) - rate_at(wanted_column, side)))
    return Match(
        candidate.name,
        float(np.mean(correlations)),
        steps,
        apart=float(np.mean(apart)) if apart else 0.0,
        equal=(sum(value > 1 - 1e-9 for value in correlations), len(correlations)),
        variant=candidate.variant,
        exact=bool(np.allclose(candidate_scores, wanted, rtol=1e-6, atol=1e-9)),
    )


def rate_at(scores: np.ndarray, member: np.ndarray, fpr: float = 0.01) -> float:
    """The step rule's TPR of one target."""
    return float((scores[member] > threshold_at_fpr(scores[~member], fpr)).mean())
