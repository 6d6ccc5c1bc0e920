"""Entropy and modified entropy of the target's prediction, no references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from raymeter.attacks.attack import Attack
from raymeter.attacks.common.checks import require_choice
from raymeter.attacks.common.logit_signals import audit_signal
from raymeter.attacks.common.moments import target_members
from raymeter.errors import SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, Signals

Form = Literal["modified", "plain"]


@dataclass(frozen=True)
class Entropy(Attack):
    """The entropy attack and its settings; it needs logits."""

    source: ClassVar[str] = "Entropy of the prediction. Song and Mittal, USENIX Security 2021."

    form: Form = "modified"

    needs_references: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_choice("form", self.form, Form)

    @property
    def needs_logits(self) -> bool:
        return True

    @property
    def separable(self) -> bool:
        return True

    def __call__(self, signals: Signals) -> Scores:
        return entropy_scores(
            audit_signal(signals, "neg_modified_entropy" if self.form == "modified" else "neg_entropy")
        )


def entropy_scores(signals: SignalMatrix) -> Scores:
    """Minus the entropy, plain or modified, of the target's prediction, averaged over queries; higher means member.

    Args:
        signals: Kind neg_entropy or neg_modified_entropy (see `audit_signal`).

    Raises:
        SignalError: Another kind of signals.

    References:
        Shokri et al., S&P 2017 (entropy). Song and Mittal, USENIX Security 2021, arXiv:2003.10595, eq. 9
        (modified entropy); the thresholds per class of that paper are not used: scores are compared as they are.

    Examples:
        >>> values = np.array([[[-0.25], [-0.75]], [[-0.5], [-0.125]]], np.float32)  # the surer, the closer to 0
        >>> signals = SignalMatrix("neg_entropy", values, np.array([[True, False], [False, True]]))
        >>> entropy_scores(signals).values.tolist()
        [[-0.25, -0.75], [-0.5, -0.125]]
    """
    if signals.kind not in ("neg_entropy", "neg_modified_entropy"):
        raise SignalError(f"entropy needs signals of kind neg_entropy or neg_modified_entropy, got {signals.kind}")
    values = signals.values[:, signals.targets].mean(axis=2, dtype=np.float64)
    form = "modified" if signals.kind == "neg_modified_entropy" else "plain"
    return Scores("entropy", values, target_members(signals), signals.ids, signals.targets, {"form": form})
