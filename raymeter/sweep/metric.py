"""The figure by which a sweep ranks settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int64

from raymeter.schema.results import Difference, MeanInterval
from raymeter.schema.scores import Scores
from raymeter.stats import auc, auc_figure, difference_over_targets, mean_over_targets, tpr_figure
from raymeter.stats.figures import auc_influence, figures_of
from raymeter.stats.log_auc import LOG_AUC_CHANCE, log_auc, log_auc_figure, log_auc_influence
from raymeter.stats.roc import divide
from raymeter.stats.tpr import allowed_false_positives, threshold_at_fpr


@dataclass(frozen=True)
class Metric:
    """What settings are ranked by, as a function of one target's scores: `auc`, `log_auc` or `tpr@<fpr>`.

    `log_auc` is the mean TPR over false-positive rates that are spread evenly on a logarithmic scale from 0.1 %
    to 1: every decade counts as much.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in ("auc", "log_auc") and not re.fullmatch(r"tpr@(0|0?\.\d+)", self.name):
            raise ValueError(f"metric must be auc, log_auc or tpr@<fpr> such as tpr@0.001, got {self.name}")

    @property
    def chance(self) -> float:
        """What scores that say nothing reach."""
        return {"auc": 0.5, "log_auc": LOG_AUC_CHANCE}[self.name] if "@" not in self.name else self.fpr

    def resolvable(self, scores: Scores) -> bool:
        """Whether the false-positive rate of a `tpr@` metric allows every target a false positive."""
        if "@" not in self.name or self.fpr == 0:
            return True
        fewest = int((~scores.member).sum(axis=0).min())
        return allowed_false_positives(self.fpr, fewest) >= 1

    @property
    def fpr(self) -> float:
        """The false-positive rate of a `tpr@` metric."""
        return float(self.name.partition("@")[2])

    def of(self, scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]) -> float:
        """The metric of one target, without its interval."""
        if self.name == "auc":
            return auc(scores, member)
        if self.name == "log_auc":
            return log_auc(scores, member)
        members, non_members = divide(scores, member)
        return float(np.mean(members > threshold_at_fpr(non_members, self.fpr)))

    def interval(self, scores: Scores, clusters: Int64[np.ndarray, " targets"]) -> MeanInterval:
        """Mean over targets with its interval."""
        if self.name == "auc":
            return mean_over_targets(figures_of(auc_figure, scores), clusters)
        if self.name == "log_auc":
            return mean_over_targets(figures_of(log_auc_figure, scores), clusters)
        return mean_over_targets(figures_of(partial(tpr_figure, fpr=self.fpr), scores), clusters)

    def gain(self, first: Scores, second: Scores, clusters: Int64[np.ndarray, " targets"]) -> Difference:
        """First minus second on the same targets: mean of the paired differences, for other records and trainings.

        Where records show no influence on the difference, as two settings order them alike, it is taken as sure.
        """

        def differences() -> Iterator[tuple[float, Float[np.ndarray, " examples"]]]:
            for a, b, member in zip(first.values.T, second.values.T, first.member.T, strict=True):
                yield self.of(a, member) - self.of(b, member), self._influence(a, member) - self._influence(b, member)

        gain = difference_over_targets(differences(), clusters)
        if gain is not None:
            return gain
        estimate = float(np.mean([difference for difference, _ in differences()]))
        return Difference(estimate, estimate, estimate, float(estimate == 0))

    def _influence(
        self, scores: Float[np.ndarray, " examples"], member: Bool[np.ndarray, " examples"]
    ) -> Float[np.ndarray, " examples"]:
        if self.name == "auc":
            return auc_influence(scores, member)
        if self.name == "log_auc":
            return log_auc_influence(scores, member)
        return tpr_figure(scores, member, self.fpr).influence
