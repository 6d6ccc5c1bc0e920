"""An attack must not see whether its target trained on a record: checked by inverting those memberships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from raymeter.errors import SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.signals import Signals


def require_blind(attack: Callable[[Signals], Scores], signals: Signals, position: int = 0) -> None:
    """Refuse an attack whose scores of one target depend on who was a member of that target.

    The memberships of the target, and of the models that may not judge it, are inverted; scores that
    change with them (by more than a millionth of their spread) were chosen with the labels they are
    measured by.

    Raises:
        SignalError: The scores of the target at `position` changed; the target is named.

    Examples:
        >>> from raymeter.schema.signals import SignalMatrix
        >>> member = np.array([[True, False], [False, True]])
        >>> matrix = SignalMatrix("log_prob", np.array([[[-1.0], [-2.0]], [[-3.0], [-1.0]]], np.float32), member)
        >>> signals = Signals({"log_prob": matrix}, {})
        >>> def cheat(signals: Signals) -> Scores:
        ...     seen = signals.audit["log_prob"]
        ...     return Scores("cheat", seen.member.astype(float), seen.member, seen.ids, seen.targets)
        >>> require_blind(cheat, signals)
        Traceback (most recent call last):
        raymeter.errors.exceptions.SignalError: the scores of model 0 depend on its own members: ...
    """
    design = signals.design
    hidden = ~design.reference[position]
    inverted = replace(
        signals,
        audit={
            kind: replace(matrix, member=np.where(hidden, ~matrix.member, matrix.member))
            for kind, matrix in signals.audit.items()
        },
    )
    scores, scores_inverted = (attack(either).values[:, position] for either in (signals, inverted))
    if np.abs(scores - scores_inverted).max(initial=0.0) > 1e-6 * max(float(np.ptp(scores)), 1e-12):
        raise SignalError(
            f"the scores of model {design.targets[position]} depend on its own members: "
            "something was chosen with the labels that the result is measured by"
        )
