"""The result of a sweep: every setting that was tried, and the winner's figures on both halves of the targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raymeter.schema.results import Difference, MeanInterval
from raymeter.schema.scores import Scores


@dataclass(frozen=True)
class SweepFigures:
    """The winner of a sweep, and its attack with default settings, on the same targets and within the same limits.

    `default` and `gain` (winner minus defaults, paired by target) are None where the defaults cannot be
    evaluated; `error` then says why.
    """

    targets: tuple[int, ...]
    clusters: tuple[int, ...]
    winner: MeanInterval
    default: MeanInterval | None
    gain: Difference | None
    error: str | None = None


@dataclass(frozen=True)
class SweepResult:
    """What a sweep tried, and what its winner does on targets that it was not chosen on.

    Args:
        rows: One per setting that was tried, with the values that its attack has for everything varied.
        passed_over: Settings that ranked higher and could not be evaluated on the report targets, with the reason.
        selection: The winner on the targets that it was chosen on: optimistic.
        report: The winner on the others: honest.
        resolvable: Whether the metric's false-positive rate allows a false positive on every target.
    """

    name: str
    metric: str
    rows: tuple[Mapping[str, Any], ...]
    best: Mapping[str, Any]
    best_attack: Mapping[str, Any]
    passed_over: tuple[str, ...]
    selection: SweepFigures
    report: SweepFigures
    resolvable: bool
    best_scores: Scores
    default_scores: Scores | None
    audit_config: Mapping[str, Any]

    @property
    def optimism(self) -> float | None:
        """The winner's lead over its attack's defaults where it was chosen, less its lead elsewhere.

        What targets of one side have in common moves the winner and the defaults alike and is not in it.
        """
        if self.selection.gain is None or self.report.gain is None:
            return None
        return self.selection.gain.estimate - self.report.gain.estimate
