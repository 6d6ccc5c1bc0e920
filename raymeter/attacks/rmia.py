"""RMIA: is a record more likely under the target than under the references, compared with a population?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float

from raymeter.attacks.moments import (
    blocks,
    opposite_models,
    require_choice,
    require_kind,
    require_references,
    target_members,
)
from raymeter.errors import SignalError
from raymeter.schema import Scores, SignalMatrix, Signals
from raymeter.stats.auc import auc

Mode = Literal["offline", "online"]
Form = Literal["log_ratio", "count"]
Prior = Literal["offline", "online", "out"]
TUNING_GRID = tuple(step / 10 for step in range(11))
TUNING_STAND_INS = 4  # reference models attacked in place of a target when offline_a is tuned
TUNING_RECORDS = 10_000  # records, evenly spaced, that the choice is made on: bounds its cost


@dataclass(frozen=True)
class Rmia:
    """The RMIA attack and its settings."""

    mode: Mode = "offline"
    offline_a: float | Literal["tuned"] = 0.3
    gamma: float = 1.0
    form: Form = "log_ratio"

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        require_choice("mode", self.mode, Mode)
        require_choice("form", self.form, Form)
        if self.offline_a != "tuned" and (isinstance(self.offline_a, str) or not 0 <= self.offline_a <= 1):
            raise ValueError(f"offline_a must be in [0, 1] or tuned, got {self.offline_a}")
        if not 1 <= self.gamma < np.inf:
            raise ValueError(f"gamma must be >= 1, got {self.gamma}")

    def __call__(self, signals: Signals) -> Scores:
        return rmia_scores(
            signals.audit["log_prob"],
            signals.population["log_prob"],
            mode=self.mode,
            offline_a=self.offline_a,
            gamma=self.gamma,
            form=self.form,
        )


def rmia_scores(
    signals: SignalMatrix,
    population: SignalMatrix,
    *,
    mode: Mode = Rmia.mode,
    offline_a: float | Literal["tuned"] = Rmia.offline_a,
    gamma: float = Rmia.gamma,
    form: Form = Rmia.form,
) -> Scores:
    """RMIA score of every record against every target; higher means member.

    With the ratio r(x) = p(x | target) / p(x), a record dominates a population point z where
    r(x) / r(z) > gamma. `count` scores the share of dominated points. `log_ratio` scores
    log r(x) - mean over z of log r(z) (InfoRMIA): the same order within a target wherever the count
    distinguishes records at all, without its granularity of 1 / population.

    Offline, p(x) = ((1 + a) * mean over OUT references of p(x | model) + (1 - a)) / 2; online, p(x) is
    the average of the IN mean and the OUT mean. No model trained on z, so online p(z) is its OUT mean.

    Args:
        signals: Kind log_prob.
        population: The same models on records that none of them trained on. Its own reference and targets
            are not read: every z is judged by the references of the target, as x is.
        mode: `offline` needs an OUT reference per record and target, `online` an IN reference too.
        offline_a: Offline correction a in [0, 1]: the IN probability is taken as a * OUT + (1 - a).
            `tuned` chooses it per target (see `tune_offline_a`); not used online.
        gamma: Dominance threshold, >= 1; moves only the count.
        form: `log_ratio` or `count`.

    Returns:
        Scores averaged over queries; `settings["offline_a"]` lists the value used for each target.

    Raises:
        SignalError: A record lacks references (it is named), the signals are of another kind or of
            other models than the population's, or too few models are left to tune offline_a.
        ValueError: A setting is out of range.

    Notes:
        Strict ">" follows the authors' code. Sorting the population's ratios makes the count
        O((examples + population) log population) per target, with no pairwise matrix.

    References:
        Zarifzadeh, Liu, Shokri. Low-Cost High-Power Membership Inference Attacks. ICML 2024,
        arXiv:2312.03262, eq. 4-9. Tao, Shokri. InfoRMIA, arXiv:2510.05582 (log_ratio).
    """
    Rmia(mode, offline_a, gamma, form)
    require_kind(signals, "log_prob", "RMIA")
    require_kind(population, "log_prob", "RMIA (population)")
    if population.values.shape[1:] != signals.values.shape[1:] or not len(population.values):
        raise SignalError(
            f"RMIA needs a population under the same models and queries, got {population.values.shape} "
            f"beside {signals.values.shape}"
        )
    if population.member.any():
        raise SignalError(
            f"RMIA needs a population that no model trained on, but record "
            f"{population.ids[population.member.any(axis=1)][0]} of it has a member; set its member to False"
        )
    require_references(signals, "out", 1, "RMIA")
    if mode == "online":
        require_references(signals, "in", 1, "RMIA online", "train more models or use mode: offline")
    chosen = np.full(len(signals.targets), np.nan)
    if mode == "offline":
        tuned = offline_a == "tuned"
        chosen = tune_offline_a(signals) if tuned else np.full(len(chosen), float(offline_a))
    values = _score(signals, population, mode, chosen, gamma, form)
    settings = {"mode": mode, "form": form, "gamma": gamma}
    if mode == "offline":
        settings["offline_a"] = chosen.tolist()
    return Scores("rmia", values, target_members(signals), signals.ids, signals.targets, settings)


def tune_offline_a(signals: SignalMatrix) -> Float[np.ndarray, " targets"]:
    """For each target the a in TUNING_GRID with the best mean AUC against stand-ins that share nothing with it.

    Stand-ins are up to TUNING_STAND_INS of the target's references. Each is judged by the target's other
    references, less those that were trained on exactly the opposite records of the stand-in. So neither
    the target's column nor its complement's takes part, and the choice cannot depend on the labels that
    the reported figures are computed with. It is made on at most TUNING_RECORDS evenly spaced records.
    The population's term is the same for all records of a stand-in and leaves its AUC alone, so it is
    not computed. Ties go to the smallest a.

    Raises:
        SignalError: Too few models are left to judge a stand-in; names the target.
    """
    opposite = opposite_models(signals.member)
    examples = len(signals.values)
    rows = np.arange(examples)
    if examples > TUNING_RECORDS:
        rows = np.linspace(0, examples - 1, TUNING_RECORDS).astype(np.int64)
    few = replace(signals, values=signals.values[rows], member=signals.member[rows], ids=signals.ids[rows], labels=None)
    both = few.member.any(axis=0) & ~few.member.all(axis=0)
    chosen = np.empty(len(signals.targets))
    for t, target in enumerate(signals.targets):
        allowed = np.flatnonzero(signals.reference[t] & both)
        stand_ins = allowed[np.linspace(0, len(allowed) - 1, min(TUNING_STAND_INS, len(allowed))).astype(np.int64)]
        judges = signals.reference[t][None, :] & ~opposite[stand_ins]
        judges[np.arange(len(stand_ins)), stand_ins] = False
        inner = replace(few, reference=judges, targets=stand_ins)
        try:
            if not len(stand_ins):
                raise SignalError("no reference has both members and non-members")
            require_references(inner, "out", 1, "RMIA")
        except SignalError as error:
            raise SignalError(
                f"offline_a cannot be tuned for model {target} ({error}); train more models or set offline_a: 0.3"
            ) from None
        chosen[t] = _best_offline_a(inner)
    return chosen


def _best_offline_a(signals: SignalMatrix) -> float:
    """The a with the best mean AUC over all targets of the signals."""
    queries = range(signals.values.shape[2])
    log_prob = signals.values[:, signals.targets].astype(np.float64)
    out = np.stack([_log_prior(signals, slice(None), query, "out") for query in queries], axis=2)
    labels = target_members(signals)
    areas = []
    for a in TUNING_GRID:
        scores = (log_prob - _offline_prior(out, a)).mean(axis=2)
        areas.append(np.mean([auc(scores[:, t], labels[:, t]) for t in range(scores.shape[1])]))
    return TUNING_GRID[int(np.argmax(areas))]


def _score(
    signals: SignalMatrix,
    population: SignalMatrix,
    mode: Mode,
    offline_a: Float[np.ndarray, " targets"],
    gamma: float,
    form: Form,
) -> Float[np.ndarray, "examples targets"]:
    examples, _, queries = signals.values.shape
    total = np.zeros((examples, len(signals.targets)))
    outside = replace(population, reference=signals.reference, targets=signals.targets)
    for query in range(queries):
        log_z = _log_ratios(outside, query, "out" if mode == "online" else mode, offline_a)
        log_x = _log_ratios(signals, query, mode, offline_a)
        if form == "log_ratio":
            log_x -= log_z.mean(axis=0)
            total += log_x
        else:
            for t, ratios in enumerate(np.sort(log_z, axis=0).T):
                total[:, t] += np.searchsorted(ratios, log_x[:, t] - np.log(gamma), side="left") / len(ratios)
    total /= queries
    return total


def _log_ratios(
    signals: SignalMatrix, query: int, mode: Prior, offline_a: Float[np.ndarray, " targets"]
) -> Float[np.ndarray, "examples targets"]:
    """log p(x | target) - log p(x) of one query."""
    ratios = np.empty((len(signals.values), len(signals.targets)))
    for rows in blocks(signals):
        prior = _log_prior(signals, rows, query, "both" if mode == "online" else "out")
        if mode == "offline":
            prior = _offline_prior(prior, offline_a)
        ratios[rows] = signals.values[rows, :, query][:, signals.targets] - prior
    return ratios


def _log_prior(
    signals: SignalMatrix, rows: slice, query: int, sides: Literal["out", "both"]
) -> Float[np.ndarray, "examples targets"]:
    """Log of the OUT mean probability of one query, or of the average of the IN mean and the OUT mean."""
    log_prob = signals.values[rows, :, query].astype(np.float64)
    out = log_mean_prob(log_prob, ~signals.member[rows], signals.reference)
    if sides == "out":
        return out
    both: np.ndarray = np.logaddexp(out, log_mean_prob(log_prob, signals.member[rows], signals.reference)) - np.log(2)
    return both


def _offline_prior(log_out: np.ndarray, offline_a: Float[np.ndarray, " targets"] | float) -> np.ndarray:
    """log of ((1 + a) * out + (1 - a)) / 2, where the IN mean is taken as a * out + (1 - a)."""
    with np.errstate(divide="ignore"):  # a = 1 leaves no floor: log 0 is meant
        prior: np.ndarray = np.logaddexp(np.log1p(offline_a) + log_out, np.log(1 - np.asarray(offline_a))) - np.log(2)
    return prior


def log_mean_prob(
    log_prob: Float[np.ndarray, "examples models"],
    side: Bool[np.ndarray, "examples models"],
    reference: Bool[np.ndarray, "targets models"],
) -> Float[np.ndarray, "examples targets"]:
    """Log of the mean probability over the models on one side of each record among each target's references.

    A product with the reference mask does all targets at once; the few cells in which probabilities
    underflow beside the record's largest are done again in log space.
    """
    masked = np.where(side & reference.any(axis=0), log_prob, -np.inf)
    top = np.max(masked, axis=1, keepdims=True, initial=-1e30)
    weights = reference.T.astype(np.float64)
    count = side.astype(np.float64) @ weights
    total = np.exp(masked - top) @ weights
    with np.errstate(divide="ignore"):
        result: np.ndarray = top + np.log(total) - np.log(count)
    for row, target in np.argwhere((total < 1e-200) & (count > 0)):
        cell = masked[row, reference[target]]
        result[row, target] = np.logaddexp.reduce(cell) - np.log(count[row, target])
    return result
