"""LOSS: the target's own loss or confidence, no references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from raymeter.attacks.attack import Attack
from raymeter.attacks.common.checks import require_choice, require_kind
from raymeter.attacks.common.moments import target_members
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, Signals

Form = Literal["log_prob", "confidence"]


@dataclass(frozen=True)
class Loss(Attack):
    """The LOSS attack and its settings."""

    source: ClassVar[str] = "LOSS: the loss of the record itself. Yeom et al., CSF 2018."

    form: Form = "log_prob"

    needs_references: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_choice("form", self.form, Form)

    @property
    def separable(self) -> bool:
        return True

    def __call__(self, signals: Signals) -> Scores:
        return loss_scores(signals.audit["log_prob"], form=self.form)


def loss_scores(signals: SignalMatrix, *, form: Form = Loss.form) -> Scores:
    """Log-probability, or probability, of the true class under the target, averaged over queries.

    Higher means member. With one query both forms give the same order.

    Raises:
        SignalError: The signals are not of kind log_prob.
        ValueError: An unknown form.

    Notes:
        Easy records score high in every model, so this attack says little about single records; it is
        the baseline that all others must beat.

    References:
        Yeom, Giacomelli, Fredrikson, Jha. Privacy Risk in Machine Learning. CSF 2018, arXiv:1709.01604.

    Examples:
        >>> log_prob = np.log(np.array([[[0.9], [0.4]], [[0.3], [0.8]]], np.float32))  # two records under two models
        >>> signals = SignalMatrix("log_prob", log_prob, np.array([[True, False], [False, True]]))
        >>> loss_scores(signals, form="confidence").values.round(2).tolist()
        [[0.9, 0.4], [0.3, 0.8]]
    """
    Loss(form)
    require_kind(signals, "log_prob", "LOSS")
    own = signals.values[:, signals.targets].astype(np.float64)
    values = (np.exp(own) if form == "confidence" else own).mean(axis=2)
    return Scores("loss", values, target_members(signals), signals.ids, signals.targets, {"form": form})
