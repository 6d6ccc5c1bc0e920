"""Targets to choose on and targets to report on, so that the winner is judged where it was not chosen."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from raymeter.errors import SignalError
from raymeter.schema.selection import select
from raymeter.schema.signals import Signals
from raymeter.stats import dependent_targets


def divide_targets(
    signals: Signals, share: float, seed: int
) -> tuple[Int64[np.ndarray, " selection"], Int64[np.ndarray, " report"]]:
    """Positions of the targets that settings are selected on, and of those that the winner is reported on.

    Dependent targets (a model and its complement) are on the same side; which clusters go where is drawn.

    Raises:
        SignalError: There are fewer than two independent targets.
    """
    matrix = signals.design
    clusters = dependent_targets(matrix.reference, matrix.targets)
    names = np.random.default_rng(seed).permutation(np.unique(clusters))
    if len(names) < 2:
        raise SignalError(
            "a sweep needs targets of two complementary pairs, one to select on and one to report on; audit more models"
        )
    selected = names[: min(max(1, round(share * len(names))), len(names) - 1)]
    is_selected = np.isin(clusters, selected)
    return np.flatnonzero(is_selected), np.flatnonzero(~is_selected)


def without_models_of(
    signals: Signals, selection: Int64[np.ndarray, " selection"], report: Int64[np.ndarray, " report"]
) -> Signals:
    """The signals as settings are ranked on them: no report target is a reference of a selection target.

    Scores of a selection target contain what its references know and do not know, and who was a member of them. A
    setting that wins by what the report targets' own signals look like by chance would look good on them again.
    """
    matrix = signals.design
    reference = matrix.reference.copy()
    reference[np.ix_(selection, matrix.targets[report])] = False
    return select(signals, references=reference)
