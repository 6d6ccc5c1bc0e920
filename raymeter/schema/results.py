"""What an audit and a sweep find: estimates with their intervals, per target and over targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from raymeter.schema.results_table import ShownAsTable
from raymeter.schema.scores import Scores


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval, low <= estimate <= high."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class MeanInterval:
    """Mean over targets, its confidence interval and the standard deviation between targets."""

    estimate: float
    low: float
    high: float
    sd: float
    targets: int


@dataclass(frozen=True)
class TprEstimate:
    """True-positive rate at a false-positive rate, with the false positives that were achieved.

    `resolvable` is False where fewer than one false positive is allowed (fpr * non-members < 1)
    and the asked-for rate is not zero: the number is then an upper limit of what was asked.
    """

    estimate: float
    low: float
    high: float
    false_positives: int
    resolvable: bool


@dataclass(frozen=True)
class ThresholdRates:
    """What a fixed threshold does to one target: both rates with their intervals, and the counts behind them."""

    threshold: float
    tpr: Interval
    fpr: Interval
    true_positives: int
    false_positives: int


@dataclass(frozen=True)
class ThresholdSummary:
    """One way of choosing thresholds at one false-positive rate: what it does, in the mean and per target.

    `ppv` is keyed by the prior, the share of members among the records that are asked about.
    """

    tpr: MeanInterval
    fpr: MeanInterval
    ppv: Mapping[str, MeanInterval]
    targets: tuple[ThresholdRates, ...]


@dataclass(frozen=True)
class ThresholdComparison:
    """Thresholds that an attacker can know, next to those that only the members' list gives.

    `transferred` come from stand-ins and are None where there are too few models for any; `oracle` ones are
    chosen on the very scores they are applied to, so their intervals are too short and their rates optimistic.
    """

    transferred: ThresholdSummary | None
    oracle: ThresholdSummary


@dataclass(frozen=True)
class Difference:
    """First minus second with its confidence interval, low <= estimate <= high, and the two-sided p-value."""

    estimate: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class Comparison:
    """Mean over targets of one attack's AUC minus another's, with its interval and two-sided p-value."""

    first: str
    second: str
    auc: Difference


@dataclass(frozen=True)
class TargetMetrics:
    """How well one attack separates members from non-members of one target model, by its number.

    `foreign` says that it was trained elsewhere.
    """

    target: int
    members: int
    non_members: int
    auc: Interval
    tpr_at_fpr: Mapping[str, TprEstimate]
    foreign: bool = False

    @property
    def name(self) -> str:
        """What a report calls the model."""
        return "the target" if self.foreign else f"model {self.target}"


@dataclass(frozen=True)
class AttackResult:
    """One attack: its scores, its metrics per target and their means over targets."""

    name: str
    scores: Scores
    targets: tuple[TargetMetrics, ...]
    auc: MeanInterval
    tpr_at_fpr: Mapping[str, MeanInterval]
    resolvable: Mapping[str, bool]
    thresholds: Mapping[str, ThresholdComparison] = field(default_factory=dict)
    pooled_auc: float | None = None
    curves: tuple[tuple[np.ndarray, np.ndarray], ...] = ()


@dataclass(frozen=True)
class PowerPoint:
    """What an attack finds with so many reference units per target (a unit is a complementary pair)."""

    references: int
    auc: MeanInterval
    tpr: MeanInterval
    fpr: float
    resolvable: bool


@dataclass(frozen=True)
class GroupMetrics:
    """One attack within one group of records; None where a target has no members or no non-members in it.

    `members` and `non_members` are means over targets. `tpr_common` and `fpr_common` are at the threshold of
    all records, `tpr_own` at the group's own. p-values are of a randomisation test of
    TPR minus FPR at the common threshold, NaN with a single group.
    """

    group: str
    records: int
    members: float
    non_members: float
    auc: MeanInterval | None
    tpr_common: MeanInterval | None
    fpr_common: MeanInterval | None
    tpr_own: MeanInterval | None
    own_resolvable: bool
    p_value: float
    p_value_holm: float


@dataclass(frozen=True)
class GroupTable:
    """All groups of one grouping under one attack, and the largest gap in TPR minus FPR between two of them."""

    fpr: float
    groups: tuple[GroupMetrics, ...]
    largest_gap: float
    largest_gap_p_value: float


@dataclass(frozen=True)
class BlindAnswer:
    """How well a classifier that sees no model answers one question about membership."""

    question: str
    classifier: str
    auc: Interval
    records: int


@dataclass(frozen=True)
class BlindResult:
    """All answers of the blind baseline; `warns` where one is better than chance; a line about twins, or none."""

    answers: tuple[BlindAnswer, ...]
    warns: bool
    twins: str = ""


@dataclass(frozen=True, repr=False)
class AuditResult(ShownAsTable):
    """What an audit found: metrics per attack, one table row per record, where it came from."""

    attacks: tuple[AttackResult, ...]
    records: Mapping[str, np.ndarray]
    timings: Mapping[str, float]
    provenance: Mapping[str, Any]
    comparisons: tuple[Comparison, ...] = ()
    power: Mapping[str, tuple[PowerPoint, ...]] = field(default_factory=dict)
    groups: Mapping[str, GroupTable] = field(default_factory=dict)
    main: str = ""  # label of the main attack, see `main_label`; empty: the first
    blind: BlindResult | None = None
    top_overlap: Mapping[str, float] = field(default_factory=dict)
    timeline: Mapping[str, Any] = field(default_factory=dict)
    exposed: Mapping[str, np.ndarray] = field(default_factory=dict)  # id and x of records to be shown

    @property
    def main_attack(self) -> AttackResult:
        """The attack that groups are compared by, that the page begins with and that Privacy Meter's keys hold."""
        return next((attack for attack in self.attacks if attack.name == self.main), self.attacks[0])
