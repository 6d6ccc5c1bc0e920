"""LOSS: the target's own loss, no references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from raymeter.attacks.moments import require_kind, target_members
from raymeter.schema import Scores, SignalMatrix, Signals


@dataclass(frozen=True)
class Loss:
    """The LOSS attack; it has no settings."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __call__(self, signals: Signals) -> Scores:
        return loss_scores(signals.audit["log_prob"])


def loss_scores(signals: SignalMatrix) -> Scores:
    """Log-probability of the true class under the target, averaged over queries; higher means member.

    Raises:
        SignalError: The signals are not of kind log_prob.

    Notes:
        Easy records score high in every model, so this attack says little about single records; it is
        the baseline that all others must beat.

    References:
        Yeom, Giacomelli, Fredrikson, Jha. Privacy Risk in Machine Learning. CSF 2018, arXiv:1709.01604.
    """
    require_kind(signals, "log_prob", "LOSS")
    values = signals.values[:, signals.targets].mean(axis=2, dtype=np.float64)
    return Scores("loss", values, target_members(signals), signals.ids, signals.targets)
