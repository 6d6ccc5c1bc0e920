"""QMIA: is the target's signal higher than a regressor expects of a record that it was not trained on?

The regressor is fitted on records and their signals, a stage of its own (see `raymeter.signals.quantile_regressor`);
what it expects arrives here as numbers, and the score is pure.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from raymeter.attacks.attack import Attack
from raymeter.attacks.common.checks import require_choice, require_kind
from raymeter.attacks.common.moments import target_members
from raymeter.errors import SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.signals import QuantilePrediction, SignalMatrix, Signals

Head = Literal["gaussian", "pinball"]
NARROWEST_LOG_SD = 100.0  # beyond it exp would leave float64's range
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
NARROWEST = 1e-6  # least distance of neighbouring quantiles, as a share of the distance of the outermost ones


@dataclass(frozen=True)
class Qmia(Attack):
    """QMIA and the recipe of its regressor."""

    source: ClassVar[str] = "QMIA: quantile regression, without reference models. Bertran et al., NeurIPS 2023."

    head: Head = "gaussian"
    model: str = "mlp"
    epochs: int = 60
    learning_rate: float = 0.001
    batch_size: int = 256

    needs_references: ClassVar[bool] = False
    needs_records: ClassVar[bool] = True
    sweepable: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_choice("head", self.head, Head)
        for name in ("epochs", "batch_size", "learning_rate"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}")

    @property
    def outputs(self) -> int:
        """Outputs of the regressor for each class."""
        return 2 if self.head == "gaussian" else len(LEVELS)

    @property
    def regressor(self) -> str:
        """Names what was fitted: attacks with equal recipes share their predictions."""
        return json.dumps(asdict(self), sort_keys=True)

    def __call__(self, signals: Signals) -> Scores:
        predicted = signals.predicted.get(self.regressor)
        if predicted is None:
            raise SignalError("QMIA needs the predictions of its regressor, which are fitted in an audit's own stage")
        return qmia_scores(signals.audit["logit_gap"], predicted)


def qmia_scores(signals: SignalMatrix, predicted: QuantilePrediction) -> Scores:
    """How far the target's signal is above what is expected of a non-member, averaged over queries.

    Gaussian head: (s - mean) / sd. Pinball head: the normal deviate of the level that s has among the
    predicted quantiles, linear between them and beyond the outermost ones with the slope of the last two, so
    that no two signals tie. Both are about standard normal for non-members; higher means member.

    Args:
        signals: Kind logit_gap.
        predicted: For the same records, targets and queries.

    Raises:
        SignalError: Another kind of signals, or predictions of another shape or not finite (the first record
            is named).

    References:
        Bertran et al., Scalable Membership Inference Attacks via Quantile Regression, NeurIPS 2023,
        arXiv:2307.03694.

    Examples:
        >>> gaps, member = np.array([[[3.0]], [[0.0]]], np.float32), np.array([[True], [False]])
        >>> expected = np.array([[[[1.0, 0.0]]], [[[1.0, 0.0]]]], np.float32)  # mean 1, log sd 0 for either record
        >>> predicted = QuantilePrediction("gaussian", expected)
        >>> qmia_scores(SignalMatrix("logit_gap", gaps, member), predicted).values.tolist()
        [[2.0], [-1.0]]
    """
    require_kind(signals, "logit_gap", "QMIA")
    own = signals.values[:, signals.targets].astype(np.float64)
    outputs = 2 if predicted.head == "gaussian" else len(predicted.levels)
    values = predicted.of(signals.targets)
    if values.shape != (*own.shape, outputs):
        raise SignalError(
            f"QMIA needs predictions [examples, targets, queries, outputs] of shape {(*own.shape, outputs)}, "
            f"got {values.shape}"
        )
    bad = ~np.isfinite(values).all(axis=(1, 2, 3))
    if bad.any():
        raise SignalError(f"QMIA: the prediction for record {signals.ids[int(bad.argmax())]} is not finite")
    expected = values.astype(np.float64)
    if predicted.head == "gaussian":
        deviates = (own - expected[..., 0]) / np.exp(np.clip(expected[..., 1], -NARROWEST_LOG_SD, NARROWEST_LOG_SD))
    else:
        deviates = _deviates(own, expected, np.asarray(predicted.levels))
    settings = {"head": predicted.head}
    return Scores("qmia", deviates.mean(axis=2), target_members(signals), signals.ids, signals.targets, settings)


def _deviates(
    own: Float[np.ndarray, "examples targets queries"],
    quantiles: Float[np.ndarray, "examples targets queries levels"],
    levels: Float[np.ndarray, " levels"],
) -> Float[np.ndarray, "examples targets queries"]:
    """Normal deviate of each signal's level, piecewise linear in the predicted quantiles."""
    if len(levels) < 2 or (np.diff(levels) <= 0).any() or not 0 < levels[0] <= levels[-1] < 1:
        raise SignalError(f"QMIA: levels must ascend in (0, 1), at least two, got {levels.tolist()}")
    level_deviates = ndtri(levels)
    # regressors may cross; sorting never raises the pinball loss
    ordered = np.sort(quantiles, axis=-1)
    size = np.maximum(np.abs(ordered).max(axis=-1), 1.0)
    span = np.maximum(np.ptp(ordered, axis=-1), NARROWEST * size)[..., None]
    ordered = ordered + NARROWEST * span * np.arange(len(levels))
    segment = np.clip((ordered <= own[..., None]).sum(axis=-1) - 1, 0, len(levels) - 2)[..., None]
    low, high = (np.take_along_axis(ordered, segment + step, axis=-1)[..., 0] for step in (0, 1))
    left, right = level_deviates[segment[..., 0]], level_deviates[segment[..., 0] + 1]
    deviates: np.ndarray = left + (own - low) * ((right - left) / (high - low))
    return deviates
