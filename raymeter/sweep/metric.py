"""The figure by which a sweep ranks settings."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from raymeter.schema.results import Difference, MeanInterval
from raymeter.schema.scores import Scores
from raymeter.stats import auc, auc_interval, mean_over_targets, t_difference, tpr_at_fpr
from raymeter.stats.log_auc import LOG_AUC_CHANCE, log_auc, log_auc_interval, stratified_bootstrap
from raymeter.stats.paired import normal_difference
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
        """Mean over targets with its interval; of one cluster, the mean of the targets' own intervals."""
        columns = list(zip(scores.values.T, scores.member.T, strict=True))
        if self.name == "auc":
            return mean_over_targets([auc_interval(*column) for column in columns], clusters)
        if self.name == "log_auc":
            alone = len(np.unique(clusters)) == 1
            return mean_over_targets([log_auc_interval(*column, alone) for column in columns], clusters)
        return mean_over_targets([tpr_at_fpr(*column, self.fpr) for column in columns], clusters)

    def gain(self, first: Scores, second: Scores, clusters: Int64[np.ndarray, " targets"]) -> Difference:
        """First minus second on the same targets: mean of the paired differences, with Student's t over clusters.

        With one cluster the interval is normal, with the standard error of a paired, stratified bootstrap of
        each target's records, averaged over its targets.
        """
        triples = list(zip(first.values.T, second.values.T, first.member.T, strict=True))
        differences = np.array([self.of(a, m) - self.of(b, m) for a, b, m in triples])
        over_clusters = t_difference(differences, clusters)
        if over_clusters is not None:
            return over_clusters
        estimate = float(differences.mean())
        if not differences.any():
            return Difference(0.0, 0.0, 0.0, 1.0)

        def standard_error(a: np.ndarray, b: np.ndarray, m: np.ndarray) -> float:
            draws = stratified_bootstrap(lambda rows: self.of(a[rows], m[rows]) - self.of(b[rows], m[rows]), m)
            return float(draws.std(ddof=1))

        return normal_difference(estimate, float(np.mean([standard_error(*triple) for triple in triples])), 1.0)
