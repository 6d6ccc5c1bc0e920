"""RMIA: is a record more likely under the target than under the references, compared with a population?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from raymeter.attacks.attack import Attack
from raymeter.attacks.common.blocks import blocks
from raymeter.attacks.common.checks import require_choice, require_kind, require_population, require_references
from raymeter.attacks.common.logit_signals import Softmax, audit_signal, population_signal
from raymeter.attacks.common.mean_probability import Sides, log_prior, offline_prior, own_and_prior
from raymeter.attacks.common.moments import target_members
from raymeter.attacks.common.population_comparison import Form, PopulationComparison
from raymeter.attacks.common.stand_ins import stand_ins, why_not
from raymeter.errors import SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, Signals
from raymeter.stats.auc import auc

Mode = Literal["offline", "online"]
TUNING_GRID = tuple(step / 10 for step in range(11))
MOST_THREADS = 4
TEMPERATURES = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Rmia(Attack):
    """The RMIA attack and its settings; any other softmax than the plain one needs logits."""

    source: ClassVar[str] = "RMIA: likelihood ratios against population records. Zarifzadeh et al., ICML 2024."

    mode: Mode = "offline"
    offline_a: float | Literal["tuned"] = 0.3
    gamma: float = 1.0
    form: Form = "log_ratio"
    temperature: float | Literal["tuned"] = 1.0
    taylor: int = 0
    margin: float = 0.0

    def __post_init__(self) -> None:
        require_choice("mode", self.mode, Mode)
        require_choice("form", self.form, Form)
        if self.offline_a != "tuned" and (isinstance(self.offline_a, str) or not 0 <= self.offline_a <= 1):
            raise ValueError(f"offline_a must be in [0, 1] or tuned, got {self.offline_a}")
        if not 1 <= self.gamma < np.inf:
            raise ValueError(f"gamma must be >= 1, got {self.gamma}")
        if isinstance(self.temperature, str) and self.temperature != "tuned":
            raise ValueError(f"temperature must be a number or tuned, got {self.temperature}")
        self._softmaxes()

    @property
    def needs_logits(self) -> bool:
        return not all(softmax.is_plain for softmax in self._softmaxes())

    @property
    def separable(self) -> bool:
        """Whether a record's score does not depend on the others, see `common.blocks`; what is tuned depends on all."""
        return self.offline_a != "tuned" and self.temperature != "tuned"

    def _softmaxes(self) -> list[Softmax]:
        temperatures = TEMPERATURES if isinstance(self.temperature, str) else (self.temperature,)
        return [Softmax(temperature, self.taylor, self.margin) for temperature in temperatures]

    def __call__(self, signals: Signals) -> Scores:
        softmaxes = self._softmaxes()
        audited = [audit_signal(signals, "log_prob", softmax) for softmax in softmaxes]
        outside = [population_signal(signals, "log_prob", softmax) for softmax in softmaxes]
        _check(audited[0], outside[0], self.mode)
        choices = _choices(audited, self.mode, self.offline_a)
        offline_a = np.array([a for _, a in choices])
        values = np.empty((len(audited[0].values), len(choices)))
        for number in {number for number, _ in choices}:
            takes_it = np.array([chosen == number for chosen, _ in choices])
            scores = _score(audited[number], outside[number], self, offline_a)
            values[:, takes_it] = scores[:, takes_it]
        settings = _settings(self, offline_a)
        if self.needs_logits:
            temperatures = [softmaxes[number].temperature for number, _ in choices]
            settings |= {"temperature": temperatures, "taylor": self.taylor, "margin": self.margin}
        matrix = audited[0]
        return Scores("rmia", values, target_members(matrix), matrix.ids, matrix.targets, settings)


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
            `tuned` chooses it per target from TUNING_GRID (see `tune`); not used online.
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

    Examples:
        >>> probability = np.array([[0.8, 0.4, 0.4], [0.2, 0.4, 0.4]], np.float32)  # one target and its two references
        >>> outside = np.array([[0.5, 0.5, 0.5], [0.6, 0.2, 0.2]], np.float32)
        >>> judges, targets = np.array([[False, True, True]]), np.array([0])
        >>> member = np.array([[True, False, False], [False, False, False]])
        >>> signals = SignalMatrix("log_prob", np.log(probability)[:, :, None], member, judges, targets=targets)
        >>> population = SignalMatrix("log_prob", np.log(outside)[:, :, None], np.zeros((2, 3), bool))
        >>> rmia_scores(signals, population, offline_a=1.0, form="count").values.tolist()  # ratios 2, 0.5 against 1, 3
        [[0.5], [0.0]]
    """
    attack = Rmia(mode, offline_a, gamma, form)
    _check(signals, population, mode)
    chosen = np.array([a for _, a in _choices([signals], mode, offline_a)])
    values = _score(signals, population, attack, chosen)
    return Scores("rmia", values, target_members(signals), signals.ids, signals.targets, _settings(attack, chosen))


def rmia_grid(
    signals: SignalMatrix,
    population: SignalMatrix,
    offline_a: Sequence[float],
    *,
    gamma: float = Rmia.gamma,
    form: Form = Rmia.form,
) -> Float[np.ndarray, "settings examples targets"]:
    """Offline RMIA scores for many values of a: the means over references are taken once.

    Raises:
        SignalError, ValueError: As `rmia_scores`.

    Examples:
        >>> probability = np.array([[0.8, 0.4, 0.4], [0.2, 0.4, 0.4]], np.float32)  # one target and its two references
        >>> outside = np.array([[0.5, 0.5, 0.5], [0.6, 0.2, 0.2]], np.float32)
        >>> judges, targets = np.array([[False, True, True]]), np.array([0])
        >>> member = np.array([[True, False, False], [False, False, False]])
        >>> signals = SignalMatrix("log_prob", np.log(probability)[:, :, None], member, judges, targets=targets)
        >>> population = SignalMatrix("log_prob", np.log(outside)[:, :, None], np.zeros((2, 3), bool))
        >>> rmia_grid(signals, population, [1.0, 0.0], form="count").tolist()  # with a = 0 1.14, 0.29 against 0.67, 1
        [[[0.5], [0.0]], [[1.0], [0.0]]]
    """
    comparison = PopulationComparison(gamma, form)
    for a in offline_a:
        Rmia("offline", a, gamma, form)
    _check(signals, population, "offline")
    queries = range(signals.values.shape[2])
    scores = np.zeros((len(offline_a), len(signals.values), len(signals.targets)))
    outside = replace(population, reference=signals.reference, targets=signals.targets)
    for query in queries:
        own_x, prior_x = (np.asfortranarray(array) for array in own_and_prior(signals, query, "out"))
        own_z, prior_z = (np.asfortranarray(array) for array in own_and_prior(outside, query, "out"))
        for t in range(len(signals.targets)):
            record, point = (own_x[:, t], prior_x[:, t]), (own_z[:, t], prior_z[:, t])
            scores[:, :, t] += _grid_of_target(record, point, offline_a, comparison) / len(queries)
    return scores


def _grid_of_target(
    records: tuple[Float[np.ndarray, " examples"], Float[np.ndarray, " examples"]],
    population: tuple[Float[np.ndarray, " population"], Float[np.ndarray, " population"]],
    offline_a: Sequence[float],
    comparison: PopulationComparison,
) -> Float[np.ndarray, "settings examples"]:
    """Scores of one target and query at every a, which NumPy sorts and searches in threads, without the GIL.

    Args:
        records: log p(x | target) and log of the OUT mean.
        population: The same of the population.
    """
    (own, prior), (own_z, prior_z) = records, population
    order = np.arange(len(own))
    if comparison.form == "count":  # quicker on records nearly in order, and one a nearly orders them for all
        order = np.argsort(own - offline_prior(prior, offline_a[len(offline_a) // 2]))
        own, prior = own[order], prior[order]

    def scores(a: float) -> Float[np.ndarray, " examples"]:
        standard = comparison.standard((own_z - offline_prior(prior_z, a))[:, None])
        compared: np.ndarray = comparison.scores((own - offline_prior(prior, a))[:, None], standard)[:, 0]
        return compared

    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:
        ordered_scores = np.array(list(pool.map(scores, offline_a)))
    return ordered_scores[:, np.argsort(order)]


def _check(signals: SignalMatrix, population: SignalMatrix, mode: Mode) -> None:
    require_kind(signals, "log_prob", "RMIA")
    require_population(signals, population, "RMIA")
    require_references(signals, "out", 1, "RMIA")
    if mode == "online":
        require_references(signals, "in", 1, "RMIA online", "train more models or use mode: offline")


def _settings(attack: Rmia, offline_a: Float[np.ndarray, " targets"]) -> dict[str, Any]:
    settings = {"mode": attack.mode, "form": attack.form, "gamma": attack.gamma}
    return settings if attack.mode == "online" else settings | {"offline_a": offline_a.tolist()}


def _choices(
    variants: Sequence[SignalMatrix], mode: Mode, offline_a: float | Literal["tuned"]
) -> list[tuple[int, float]]:
    """For each target which variant of the signals is attacked, and with which a (NaN online)."""
    if mode == "online":
        grid: tuple[float, ...] = (np.nan,)
    else:
        grid = TUNING_GRID if isinstance(offline_a, str) else (float(offline_a),)
    if len(variants) * len(grid) == 1:
        return [(0, grid[0])] * len(variants[0].targets)
    return tune(variants, grid, mode)


def tune(variants: Sequence[SignalMatrix], grid: Sequence[float], mode: Mode = "offline") -> list[tuple[int, float]]:
    """For each target the variant of the signals and the a with the best mean AUC against its stand-ins.

    See `common.stand_ins` for what stand-ins are. The population's term is the same for all records of a stand-in and
    leaves its AUC alone, so it is not computed. Ties go to the first variant and the first a.

    Args:
        variants: The same records and models under different softmaxes.
        grid: Values of a; not read online.

    Raises:
        SignalError: Too few models are left to judge a stand-in; names the target.
    """
    choices = []
    for target, plan in zip(variants[0].targets, stand_ins(variants[0]), strict=True):
        try:
            if not len(plan.targets):
                raise SignalError("no reference has both members and non-members; audit more records")
            areas = np.array([_mean_areas(plan.of(variant), grid, mode) for variant in variants])
        except SignalError as error:
            what, remedy = ("offline_a", "0.3") if len(variants) == 1 else ("temperature", "1.0")
            raise SignalError(
                f"{what} cannot be tuned for model {target} ({why_not(error)}), or set {what}: {remedy}"
            ) from None
        variant, a = divmod(int(areas.argmax()), len(grid))
        choices.append((variant, grid[a]))
    return choices


def _mean_areas(signals: SignalMatrix, grid: Sequence[float], mode: Mode) -> list[float]:
    """Mean AUC over all targets of the signals, for each a."""
    require_references(signals, "out", 1, "RMIA")
    if mode == "online":
        require_references(signals, "in", 1, "RMIA online")
    sides: Sides = "both" if mode == "online" else "out"
    per_query = [own_and_prior(signals, query, sides) for query in range(signals.values.shape[2])]
    member = target_members(signals)
    areas = []
    for a in grid:
        scores = sum(own - (prior if mode == "online" else offline_prior(prior, a)) for own, prior in per_query)
        areas.append(float(np.mean([auc(scores[:, t], member[:, t]) for t in range(member.shape[1])])))
    return areas


def _score(
    signals: SignalMatrix, population: SignalMatrix, attack: Rmia, offline_a: Float[np.ndarray, " targets"]
) -> Float[np.ndarray, "examples targets"]:
    """Scores of all records, averaged over queries; `offline_a` is not read online."""
    online, comparison = attack.mode == "online", PopulationComparison(attack.gamma, attack.form)
    queries = signals.values.shape[2]
    total = np.zeros((len(signals.values), len(signals.targets)))
    outside = replace(population, reference=signals.reference, targets=signals.targets)
    for query in range(queries):
        log_z, prior_z = own_and_prior(outside, query, "out")
        log_z -= prior_z if online else offline_prior(prior_z, offline_a)
        standard = comparison.standard(log_z)
        for rows in blocks(signals):
            log_x = signals.values[rows, signals.targets, query].astype(np.float64)
            prior = log_prior(signals, rows, query, "both" if online else "out")
            log_x -= prior if online else offline_prior(prior, offline_a)
            total[rows] += comparison.scores(log_x, standard)
    total /= queries
    return total
