"""Attack-R: the target's signal as a p-value among the references that did not see the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from raymeter.attacks.attack import Attack
from raymeter.attacks.common.blocks import blocks
from raymeter.attacks.common.checks import require_references
from raymeter.attacks.common.moments import target_members
from raymeter.errors import SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, Signals


@dataclass(frozen=True)
class Empirical(Attack):
    """Attack-R; it has no settings."""

    source: ClassVar[str] = "Attack R: the signal, ranked among reference models. Ye et al., CCS 2022."

    @property
    def separable(self) -> bool:
        return True

    def __call__(self, signals: Signals) -> Scores:
        return empirical_scores(signals.audit["logit_gap"])


def empirical_scores(signals: SignalMatrix) -> Scores:
    """Share of a record's OUT references whose signal is below the target's, ties one half; higher means member.

    Averaged over queries. With n OUT references there are n + 1 values, so an FPR below 1 / n cannot be
    asked for: many records tie at 1.

    Args:
        signals: Kind log_prob or logit_gap; the order of models is the same in both.

    Raises:
        SignalError: A record has no OUT reference (it is named), or another kind of signals.

    References:
        Ye et al., Enhanced Membership Inference Attacks against Machine Learning Models, CCS 2022,
        arXiv:2111.09679, attack R (their code interpolates between losses of 0 and 1000; here steps stay).

    Examples:
        >>> member = np.array([[True, False, True, False], [False, True, True, False]])
        >>> gaps = np.array([[3, 1, 2, 0], [0, 4, 3, 1]], np.float32)  # one OUT reference for every record and target
        >>> empirical_scores(SignalMatrix("logit_gap", gaps[:, :, None], member)).values.tolist()
        [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0]]
    """
    if signals.kind not in ("log_prob", "logit_gap"):
        raise SignalError(f"Attack-R needs signals of kind log_prob or logit_gap, got {signals.kind}")
    require_references(signals, "out", 1, "Attack-R")
    queries = signals.values.shape[2]
    total = np.zeros((len(signals.values), len(signals.targets)))
    for rows in blocks(signals):
        outside = ~signals.member[rows]
        for t, column in enumerate(signals.targets):
            judges = np.flatnonzero(signals.reference[t])
            out = outside[:, judges]
            count = out.sum(axis=1)
            for query in range(queries):
                others, own = signals.values[rows, judges, query], signals.values[rows, column, query, None]
                below = ((others < own) & out).sum(axis=1) + ((others <= own) & out).sum(axis=1)
                total[rows, t] += below / (2 * count * queries)
    return Scores("empirical", total, target_members(signals), signals.ids, signals.targets)
