"""BASE: online, RMIA's log-ratio under another name; offline, the OUT references' mean with a fixed exponent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from raymeter.attacks.attack import Attack
from raymeter.attacks.common.blocks import blocks
from raymeter.attacks.common.checks import require_choice, require_kind, require_references
from raymeter.attacks.common.logit_signals import Softmax, audit_signal
from raymeter.attacks.common.mean_probability import log_mean_prob, log_prior
from raymeter.attacks.common.moments import target_members
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, Signals

Mode = Literal["online", "offline"]
OFFLINE_EXPONENT = 0.33


@dataclass(frozen=True)
class Base(Attack):
    """BASE and its settings; a temperature other than 1 needs logits."""

    source: ClassVar[str] = "BASE: the Bayes-optimal score from reference losses. Lassila et al., NeurIPS 2025."

    mode: Mode = "online"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        require_choice("mode", self.mode, Mode)
        Softmax(self.temperature)

    @property
    def needs_logits(self) -> bool:
        return self.temperature != 1

    @property
    def separable(self) -> bool:
        return True

    def __call__(self, signals: Signals) -> Scores:
        scores = base_scores(audit_signal(signals, "log_prob", Softmax(self.temperature)), mode=self.mode)
        return replace(scores, settings={**scores.settings, "temperature": self.temperature})


def base_scores(signals: SignalMatrix, *, mode: Mode = Base.mode) -> Scores:
    """log p(x | target) - log p(x), averaged over queries; higher means member.

    Online, p(x) is the average of the IN and the OUT mean: exactly RMIA's online log-ratio, without the
    population's constant per target, so ROC and AUC of a target are the same. Offline,
    log p(x | target) - 0.33 log of the OUT mean.

    Raises:
        SignalError: A record lacks references (it is named), or another kind of signals.

    Notes:
        The paper averages over all references at once; here each side has half of the weight, which is the
        same wherever a record is IN as many references as it is OUT of.

    References:
        Lassila et al., NeurIPS 2025, arXiv:2505.24089 (exponent 0.33: LeakPro's implementation).

    Examples:
        >>> member = np.array([[True, False, True, False], [False, True, True, False]])
        >>> probability = np.array([[0.8, 0.4, 0.6, 0.2], [0.2, 0.8, 0.6, 0.4]], np.float32)
        >>> signals = SignalMatrix("log_prob", np.log(probability)[:, :, None], member)
        >>> np.exp(base_scores(signals).values).round(2).tolist()  # 0.8 / 0.4: models 2 and 3 give 0.6 IN and 0.2 OUT
        [[2.0, 1.0, 1.0, 0.33], [0.4, 1.6, 1.2, 0.8]]
    """
    require_choice("mode", mode, Mode)
    require_kind(signals, "log_prob", "BASE")
    require_references(signals, "out", 1, f"BASE {mode}")
    if mode == "online":
        require_references(signals, "in", 1, "BASE online", "train more models or use mode: offline")
    queries = signals.values.shape[2]
    total = np.zeros((len(signals.values), len(signals.targets)))
    for rows in blocks(signals):
        for query in range(queries):
            own = signals.values[rows, :, query][:, signals.targets].astype(np.float64)
            if mode == "online":
                prior = log_prior(signals, rows, query, "both")
            else:
                log_prob = signals.values[rows, :, query].astype(np.float64)
                prior = OFFLINE_EXPONENT * log_mean_prob(log_prob, ~signals.member[rows], signals.reference)
            total[rows] += (own - prior) / queries
    return Scores("base", total, target_members(signals), signals.ids, signals.targets, {"mode": mode})
