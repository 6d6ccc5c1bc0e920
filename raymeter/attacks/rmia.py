"""RMIA: is a record more likely under the target than under the references, compared with a population?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float

from raymeter.attacks.moments import blocks, opposite_models, require_kind, require_references, target_members
from raymeter.errors import SignalError
from raymeter.schema import Scores, SignalMatrix, Signals
from raymeter.stats.auc import auc

Mode = Literal["offline", "online"]
Form = Literal["log_ratio", "count"]
TUNING_GRID = tuple(step / 10 for step in range(11))
TUNING_STAND_INS = 4  # reference models attacked in place of a target when offline_a is tuned


@dataclass(frozen=True)
class Rmia:
    """The RMIA attack and its settings."""

    mode: Mode = "offline"
    offline_a: float | Literal["tuned"] = 0.3
    gamma: float = 1.0
    form: Form = "log_ratio"

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.offline_a != "tuned" and not 0 <= self.offline_a <= 1:
            raise ValueError(f"offline_a must be in [0, 1] or tuned, got {self.offline_a}")
        if not self.gamma >= 1:
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
        population: The same models on records that none of them trained on.
        mode: `offline` needs an OUT reference per record and target, `online` an IN reference too.
        offline_a: Offline correction a in [0, 1]: the IN probability is taken as a * OUT + (1 - a).
            `tuned` chooses it per target (see `tune_offline_a`); not used online.
        gamma: Dominance threshold, >= 1; moves only the count.
        form: `log_ratio` or `count`.

    Returns:
        Scores averaged over queries; `settings["offline_a"]` lists the value used for each target.

    Raises:
        SignalError: A record lacks references (it is named), or the signals are of another kind or
            of other models than the population's.

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
    require_references(signals, "out", 1, "RMIA")
    if mode == "online":
        require_references(signals, "in", 1, "RMIA online", "train more models or use mode: offline")
    chosen = np.full(len(signals.targets), np.nan)
    if mode == "offline":
        tuned = offline_a == "tuned"
        chosen = tune_offline_a(signals, population) if tuned else np.full(len(chosen), float(offline_a))
    values = _score(signals, population, mode, chosen, gamma, form)
    settings = {"mode": mode, "form": form, "gamma": gamma}
    if mode == "offline":
        settings["offline_a"] = chosen.tolist()
    return Scores("rmia", values, target_members(signals), signals.ids, signals.targets, settings)


def tune_offline_a(signals: SignalMatrix, population: SignalMatrix) -> Float[np.ndarray, " targets"]:
    """For each target the a in TUNING_GRID with the best mean AUC against stand-ins that share nothing with it.

    Stand-ins are up to TUNING_STAND_INS of the target's references. Each is judged by the target's other
    references, less those that were trained on exactly the opposite records of the stand-in. So neither
    the target's column nor its complement's takes part, and the choice cannot depend on the labels that
    the reported figures are computed with.

    Raises:
        SignalError: Too few models are left to judge a stand-in; names the target.
    """
    opposite = opposite_models(signals.member)
    population_members = np.zeros(population.values.shape[:2], dtype=bool)
    chosen = np.empty(len(signals.targets))
    for t, target in enumerate(signals.targets):
        allowed = np.flatnonzero(signals.reference[t])
        stand_ins = allowed[np.linspace(0, len(allowed) - 1, min(TUNING_STAND_INS, len(allowed))).astype(int)]
        judges = signals.reference[t][None, :] & ~opposite[stand_ins]
        judges[np.arange(len(stand_ins)), stand_ins] = False
        inner = replace(signals, reference=judges, targets=stand_ins.astype(np.int64))
        outer = replace(population, member=population_members, reference=judges, targets=inner.targets)
        try:
            require_references(inner, "out", 1, "RMIA")
        except SignalError as error:
            raise SignalError(
                f"offline_a cannot be tuned for model {target} ({error}); train more models or set offline_a: 0.3"
            ) from None
        labels = target_members(inner)
        areas = [
            np.mean([auc(scores[:, s], labels[:, s]) for s in range(len(stand_ins))])
            for scores in (
                _score(inner, outer, "offline", np.full(len(stand_ins), a), 1.0, "log_ratio") for a in TUNING_GRID
            )
        ]
        chosen[t] = TUNING_GRID[int(np.argmax(areas))]
    return chosen


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
    for query in range(queries):
        log_z = _log_ratios(population, query, "offline" if mode == "offline" else "online_out", offline_a)
        log_x = _log_ratios(signals, query, mode, offline_a)
        if form == "log_ratio":
            total += log_x - log_z.mean(axis=0)
        else:
            for t, ratios in enumerate(np.sort(log_z, axis=0).T):
                total[:, t] += np.searchsorted(ratios, log_x[:, t] - np.log(gamma), side="left") / len(ratios)
    return total / queries


def _log_ratios(
    signals: SignalMatrix, query: int, mode: str, offline_a: Float[np.ndarray, " targets"]
) -> Float[np.ndarray, "examples targets"]:
    """log p(x | target) - log p(x) of one query."""
    ratios = np.empty((len(signals.values), len(signals.targets)))
    for rows in blocks(signals):
        log_prob = signals.values[rows, :, query].astype(np.float64)
        out = log_mean_prob(log_prob, ~signals.member[rows], signals.reference)
        if mode == "offline":
            with np.errstate(divide="ignore"):  # a = 1 leaves no floor: log 0 is meant
                prior = np.logaddexp(np.log1p(offline_a) + out, np.log(1 - offline_a)) - np.log(2)
        elif mode == "online":
            prior = np.logaddexp(log_mean_prob(log_prob, signals.member[rows], signals.reference), out) - np.log(2)
        else:
            prior = out
        ratios[rows] = log_prob[:, signals.targets] - prior
    return ratios


def log_mean_prob(
    log_prob: Float[np.ndarray, "examples models"],
    side: Bool[np.ndarray, "examples models"],
    reference: Bool[np.ndarray, "targets models"],
) -> Float[np.ndarray, "examples targets"]:
    """Log of the mean probability over the models on one side of each record among each target's references.

    A product with the reference mask does all targets at once; the few cells in which probabilities
    underflow beside the record's largest are done again in log space.
    """
    masked = np.where(side, log_prob, -np.inf)
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
