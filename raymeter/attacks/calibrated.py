"""Difficulty calibration: the target's signal minus what references say of the record (Watson, Sablayrolles)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from raymeter.attacks.attack import Attack
from raymeter.attacks.common.blocks import blocks
from raymeter.attacks.common.checks import require_choice, require_kind, require_references
from raymeter.attacks.common.moments import moments, target_members
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, Signals

Form = Literal["watson", "sablayrolles"]


@dataclass(frozen=True)
class Calibrated(Attack):
    """Difficulty calibration and its settings."""

    source: ClassVar[str] = "Difficulty calibration. Watson et al., ICLR 2022; Sablayrolles et al., ICML 2019."

    form: Form = "watson"

    def __post_init__(self) -> None:
        require_choice("form", self.form, Form)

    @property
    def separable(self) -> bool:
        return True

    def __call__(self, signals: Signals) -> Scores:
        return calibrated_scores(signals.audit["logit_gap"], form=self.form)


def calibrated_scores(signals: SignalMatrix, *, form: Form = Calibrated.form) -> Scores:
    """The target's signal minus its expectation, averaged over queries; higher means member.

    `watson` takes off the mean over OUT references; `sablayrolles` the middle between the IN and the OUT
    mean, which is the best threshold for one record if both sides spread alike.

    Args:
        signals: Kind logit_gap (TPR at 0.1 % FPR on CIFAR-10: 4.7 % against 1.3 % with the loss, LiRA's
            Table II).

    Raises:
        SignalError: A record lacks references on a side (it is named), or another kind of signal.
        ValueError: An unknown form.

    References:
        Watson, Guo, Cormode, Sablayrolles. On the Importance of Difficulty Calibration in Membership
        Inference Attacks. ICLR 2022, arXiv:2111.08440. Sablayrolles et al., White-box vs Black-box: Bayes
        Optimal Strategies for Membership Inference, ICML 2019, arXiv:1908.11229.

    Examples:
        >>> member = np.array([[True, False, True, False], [False, True, True, False]])
        >>> gaps = np.array([[3, 1, 2, 0], [0, 4, 3, 1]], np.float32)  # models 0 and 1 are judged by 2 and 3
        >>> calibrated_scores(SignalMatrix("logit_gap", gaps[:, :, None], member)).values.tolist()
        [[3.0, 1.0, 1.0, -1.0], [-1.0, 3.0, 3.0, 1.0]]
    """
    Calibrated(form)
    require_kind(signals, "logit_gap", "calibrated")
    require_references(signals, "out", 1, f"calibrated {form}")
    if form == "sablayrolles":
        require_references(signals, "in", 1, f"calibrated {form}", "train more models, or use form: watson")
    queries = signals.values.shape[2]
    total = np.zeros((len(signals.values), len(signals.targets)))
    for rows in blocks(signals):
        for query in range(queries):
            values = signals.values[rows, :, query].astype(np.float64)
            expected = moments(values, ~signals.member[rows], signals.reference).mean
            if form == "sablayrolles":
                expected = (expected + moments(values, signals.member[rows], signals.reference).mean) / 2
            total[rows] += (values[:, signals.targets] - expected) / queries
    return Scores("calibrated", total, target_members(signals), signals.ids, signals.targets, {"form": form})
