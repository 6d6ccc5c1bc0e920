"""Attack-P: the target's signal as a p-value among records that no model was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymeter.attacks.attack import Attack
from raymeter.attacks.common.checks import require_kind, require_population
from raymeter.attacks.common.moments import target_members
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, Signals


@dataclass(frozen=True)
class Population(Attack):
    """Attack-P; it has no settings."""

    source: ClassVar[str] = (
        "Attack P: the loss, ranked among records that no model was trained on. Ye et al., CCS 2022."
    )

    needs_references: ClassVar[bool] = False

    @property
    def separable(self) -> bool:
        return True

    def __call__(self, signals: Signals) -> Scores:
        return population_scores(signals.audit["log_prob"], signals.population["log_prob"])


def population_scores(signals: SignalMatrix, population: SignalMatrix) -> Scores:
    """1 - p(x), with p(x) = (1 + number of z whose loss is not above x's) / (population + 1); higher means member.

    Within one target this is the order of LOSS in steps of 1 / (population + 1); between targets the
    scores mean the same, which losses do not. P-values of several queries are averaged.

    Raises:
        SignalError: Another kind of signals, or a population of other models or with members.

    References:
        Ye et al., Enhanced Membership Inference Attacks against Machine Learning Models, CCS 2022,
        arXiv:2111.09679, attack P.

    Examples:
        >>> member = np.array([[True, False], [False, True]])
        >>> signals = SignalMatrix("log_prob", np.log(np.array([[[0.9], [0.4]], [[0.3], [0.8]]], np.float32)), member)
        >>> outside = np.log(np.array([[[0.2], [0.2]], [[0.5], [0.5]], [[0.7], [0.7]]], np.float32))
        >>> population = SignalMatrix("log_prob", outside, np.zeros((3, 2), bool))
        >>> population_scores(signals, population).values.tolist()  # 0, 2, 2 and 0 of 3 are as likely
        [[0.75, 0.25], [0.25, 0.75]]
    """
    require_kind(signals, "log_prob", "Attack-P")
    require_population(signals, population, "Attack-P")
    size = len(population.values)
    values = np.zeros((len(signals.values), len(signals.targets)))
    for t, column in enumerate(signals.targets):
        for query in range(signals.values.shape[2]):
            ordered = np.sort(population.values[:, column, query])
            at_least = size - np.searchsorted(ordered, signals.values[:, column, query], side="left")
            values[:, t] += 1 - (1 + at_least) / (size + 1)
    values /= signals.values.shape[2]
    return Scores("population", values, target_members(signals), signals.ids, signals.targets)
