"""Several attacks in one score: logistic regression on their scores, fitted on stand-ins of each target."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy
from jaxtyping import Bool, Float

from raymeter.attacks.attack import Attack
from raymeter.attacks.common.stand_ins import stand_ins, why_not
from raymeter.attacks.lira import Lira
from raymeter.attacks.loss import Loss
from raymeter.attacks.rmia import Rmia
from raymeter.errors import SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.signals import Signals

RIDGE = 1e-3
NEWTON_STEPS = 30


@dataclass(frozen=True)
class Stack(Attack):
    """A stack of attacks; `of` lists them."""

    source: ClassVar[str] = "A stack of attacks, weighted on stand-ins for the target. Wolpert, Neural Networks 1992."
    sweepable: ClassVar[bool] = False

    of: tuple[Attack, ...] = (Loss(), Rmia(), Lira())

    def __post_init__(self) -> None:
        if len(self.of) < 2:
            raise ValueError(f"of must list two attacks or more, got {len(self.of)}")

    @property
    def needs_logits(self) -> bool:
        return any(attack.needs_logits for attack in self.of)

    def __call__(self, signals: Signals) -> Scores:
        return stack_scores(signals, self.of)


def stack_scores(signals: Signals, attacks: Sequence[Callable[[Signals], Scores]]) -> Scores:
    """Log-odds of membership from several attacks' scores together; higher means member.

    A score enters as the normal deviate of its rank among the target's records, which no label and no
    outlier moves. Weights are fitted per target, on its stand-ins (see `common.stand_ins`): neither the target's
    labels nor its complement's are read.

    Args:
        attacks: Two or more; each is run on the targets and on each target's stand-ins.

    Returns:
        Scores; `settings["weights"]` lists the weights of the attacks for each target.

    Raises:
        SignalError: An attack cannot run, or too few models are left to judge the stand-ins.

    References:
        Wolpert, Stacked Generalization, Neural Networks 5 (1992).

    Examples:
        >>> from raymeter.schema.signals import SignalMatrix
        >>> rng = np.random.default_rng(0)
        >>> half = rng.random((40, 4)) < 0.5
        >>> member = np.concatenate([half, ~half], axis=1)  # 40 records, 8 models in complementary pairs
        >>> values = (member + rng.normal(size=member.shape) - 9).astype(np.float32)[:, :, None]
        >>> signals = Signals({"log_prob": SignalMatrix("log_prob", values, member)}, {})
        >>> scores = stack_scores(signals, [Loss(), Loss()])  # of two equal attacks neither counts more
        >>> first, second = scores.settings["weights"][0]
        >>> scores.values.shape, first > 0, abs(first - second) < 1e-6
        ((40, 8), True, True)
    """
    own = [attack(signals) for attack in attacks]
    matrix = signals.design
    values = np.empty(own[0].values.shape)
    weights = []
    for t, plan in enumerate(stand_ins(matrix)):
        try:
            if not len(plan.targets):
                raise SignalError("no reference has both members and non-members; audit more records")
            of_stand_ins = plan.of_all(signals)
            inner = [attack(of_stand_ins) for attack in attacks]
        except SignalError as error:
            raise SignalError(f"the stack cannot be fitted for model {matrix.targets[t]} ({why_not(error)})") from None
        features = np.stack([normal_scores(scores.values) for scores in inner], axis=2)
        of_attacks = logistic_weights(features.reshape(-1, len(attacks)), inner[0].member.ravel())
        weights.append(of_attacks.tolist())
        values[:, t] = (
            np.stack([normal_scores(scores.values[:, t : t + 1])[:, 0] for scores in own], axis=1) @ of_attacks
        )
    settings = {"of": tuple(scores.attack for scores in own), "weights": weights}
    return Scores("stack", values, own[0].member, own[0].ids, own[0].targets, settings)


def normal_scores(values: Float[np.ndarray, "examples targets"]) -> Float[np.ndarray, "examples targets"]:
    """Normal deviates of the ranks within each target, ties sharing their middle rank."""
    ranks = scipy.stats.rankdata(values, axis=0)
    deviates: np.ndarray = scipy.stats.norm.ppf((ranks - 0.5) / len(values))
    return deviates


def logistic_weights(
    features: Float[np.ndarray, "cells attacks"], member: Bool[np.ndarray, " cells"]
) -> Float[np.ndarray, " attacks"]:
    """Weights of a logistic regression with a small ridge, by Newton's method; the intercept is dropped."""
    design = np.column_stack([features, np.ones(len(features))])
    ridge = np.diag([RIDGE] * features.shape[1] + [0.0]) + 1e-9 * np.eye(design.shape[1])
    beta = np.zeros(design.shape[1])
    for _ in range(NEWTON_STEPS):
        odds = scipy.special.expit(design @ beta)
        slope = design.T @ (odds - member) / len(design) + ridge @ beta
        curvature = (design * (odds * (1 - odds))[:, None]).T @ design / len(design) + ridge
        step = np.linalg.solve(curvature, slope)
        beta -= step
        if np.abs(step).max() < 1e-10:
            break
    weights: np.ndarray = beta[:-1]
    return weights
