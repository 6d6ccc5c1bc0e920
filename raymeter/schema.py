"""The values that flow between stages, with their invariants.

Axes have names, the same everywhere: *pool* (records that may train a model), *examples* (audited
records), *models*, *targets*, *queries* (views of a record, at least one, always present) and
*population* (records that no model trained on).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from raymeter.errors import DataError, SignalError, SplitError
from raymeter.shown import ShownAsTable

RECORDS_AT_ONCE = 262_144  # where all records are gone through: bounds what is copied
SignalKind = Literal["log_prob", "logit_gap", "hinge", "neg_entropy", "neg_modified_entropy"]


class LazyRecords(Protocol):
    """Records that stay in files: they have the shape of an array, and indexing reads them."""

    @property
    def dtype(self) -> np.dtype: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: slice | Int64[np.ndarray, " chosen"]) -> np.ndarray: ...
    def subset(self, positions: Int64[np.ndarray, " chosen"]) -> LazyRecords: ...
    def read(self, start: int, stop: int) -> np.ndarray: ...
    def chunks(self, align: int = 1) -> list[tuple[int, int]]: ...


@dataclass(frozen=True)
class Dataset:
    """Records and labels: a pool that may train models and a population that never does.

    Images are uint8 `[n, channels, height, width]` and stay so until they are on the device;
    everything else is float32 `[n, features]`. What is larger than memory stays in its files.

    `rows` and `population_rows` say which record of the files each is, of `total`; by default the pool
    comes first and there are no others.
    """

    name: str
    x: np.ndarray | LazyRecords
    y: Int64[np.ndarray, " pool"]
    population_x: np.ndarray | LazyRecords
    population_y: Int64[np.ndarray, " population"]
    num_classes: int
    rows: Int64[np.ndarray, " pool"] = None  # type: ignore[assignment]
    population_rows: Int64[np.ndarray, " population"] = None  # type: ignore[assignment]
    total: int = 0

    def __post_init__(self) -> None:
        if self.rows is None:
            object.__setattr__(self, "rows", np.arange(len(self.y), dtype=np.int64))
            object.__setattr__(self, "population_rows", len(self.y) + np.arange(len(self.population_y), dtype=np.int64))
            object.__setattr__(self, "total", len(self.y) + len(self.population_y))
        for part, x, y in (("pool", self.x, self.y), ("population", self.population_x, self.population_y)):
            if len(x) != len(y):
                raise DataError(f"{self.name}: the {part} has {len(x)} records but {len(y)} labels")
            if y.dtype != np.int64:
                raise DataError(f"{self.name}: {part} labels must be int64, got {y.dtype}")
            if len(y) and (y.min() < 0 or y.max() >= self.num_classes):
                raise DataError(
                    f"{self.name}: {part} labels must lie in 0..{self.num_classes - 1}, got {y.min()}..{y.max()}"
                )
        if self.x.shape[1:] != self.population_x.shape[1:] or self.x.dtype != self.population_x.dtype:
            raise DataError(
                f"{self.name}: pool records are {self.x.dtype}{list(self.x.shape[1:])}, "
                f"population records {self.population_x.dtype}{list(self.population_x.shape[1:])}"
            )

    @property
    def is_image(self) -> bool:
        """Whether records are images, so that mirroring and cropping make sense."""
        return self.x.dtype == np.uint8 and self.x.ndim == 4

    @property
    def is_streamed(self) -> bool:
        """Whether the records stay in their files."""
        return not isinstance(self.x, np.ndarray)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, shapes and bytes of every array; equal exactly when the data are."""
        return fingerprint_arrays(self.x, self.y, self.population_x, self.population_y)


@dataclass(frozen=True)
class Split:
    """Which record trains which model, and which models may judge which target.

    `reference[t, m]` says that model m may serve as a reference when target t is attacked. It is
    False for the target itself and for its complement, the model trained on exactly the other half:
    both reveal the target's membership. `targets` are columns; `models` says which model each column is,
    by default 0, 1, 2, ... With `has_foreign_target` the last column is the only target, a model that was
    trained elsewhere.
    """

    member: Bool[np.ndarray, "pool models"]
    reference: Bool[np.ndarray, "targets models"]
    targets: Int64[np.ndarray, " targets"]
    audit_ids: Int64[np.ndarray, " examples"]
    population_ids: Int64[np.ndarray, " population"]
    seed: int
    models: Int64[np.ndarray, " models"] = None  # type: ignore[assignment]
    has_foreign_target: bool = False

    def __post_init__(self) -> None:
        if self.models is None:
            object.__setattr__(self, "models", np.arange(self.member.shape[1], dtype=np.int64))
        if self.reference.shape != (len(self.targets), self.member.shape[1]):
            raise SplitError(
                f"reference must have shape (targets, models) = ({len(self.targets)}, {self.member.shape[1]}), "
                f"got {self.reference.shape}"
            )

    @property
    def trained_here(self) -> Split:
        """The models to train."""
        return replace(self.only(self.models[:-1]), has_foreign_target=False) if self.has_foreign_target else self

    @property
    def here(self) -> Int64[np.ndarray, " columns"]:
        """The columns of the models that are trained here."""
        return np.arange(len(self.models) - self.has_foreign_target)

    def name_of(self, column: int) -> str:
        """What a report calls a model."""
        return "the target" if self.has_foreign_target and column in self.targets else f"model {self.models[column]}"

    def only(self, models: Sequence[int] | Int64[np.ndarray, " chosen"]) -> Split:
        """The same design without the models that are not there; they are neither targets nor references."""
        columns = np.flatnonzero(np.isin(self.models, models))
        attacked = np.isin(self.targets, columns)
        return replace(
            self,
            member=self.member[:, columns],
            reference=self.reference[np.ix_(attacked, columns)],
            targets=np.searchsorted(columns, self.targets[attacked]),
            models=self.models[columns],
        )


@dataclass(frozen=True)
class ModelRecord:
    """What is known about one finished model; written last, so its existence means done.

    `architecture` is empty where it is what the audit trains.
    """

    index: int
    seed: int
    weights: str
    sha256: str
    recipe: str
    train_accuracy: float
    test_accuracy: float
    train_loss: float
    test_loss: float
    seconds: float
    attempts: int = 1
    node: str = ""
    started: float = 0.0
    finished: float = 0.0
    architecture: str = ""


@dataclass(frozen=True)
class SignalMatrix:
    """One signal of every audited record under every model.

    Args:
        kind: `log_prob` (log of the true-class probability, <= 0), `logit_gap` (true-class logit minus
            logsumexp of the others), `hinge` (minus the largest other), `neg_entropy` or
            `neg_modified_entropy`; higher means better fitted.
        values: Finite signals.
        member: Whether each model was trained on each record; all False for a population.
        reference: Which models may judge which target. By default every model is a target whose
            references are all models but itself and any model with exactly the opposite members.
        ids: Record numbers, for error messages and reports; by default 0, 1, 2, ...
        labels: Class of each record, or None when unknown.
        targets: Model column of each target; by default target t is column t.
        apart: Which models may not judge one another, where `reference` leaves out others too; by default
            what `reference` says of the targets.

    Raises:
        SignalError: Shapes disagree, a value is not finite, or a target is its own reference.
    """

    kind: str
    values: Float32[np.ndarray, "examples models queries"]
    member: Bool[np.ndarray, "examples models"]
    reference: Bool[np.ndarray, "targets models"] = None  # type: ignore[assignment]
    ids: Int64[np.ndarray, " examples"] = None  # type: ignore[assignment]
    labels: Int64[np.ndarray, " examples"] | None = None
    targets: Int64[np.ndarray, " targets"] = None  # type: ignore[assignment]
    apart: Bool[np.ndarray, "models models"] | None = None

    def may_not_judge(self) -> Bool[np.ndarray, "models models"]:
        """Pairs of models of which neither may judge the other, as far as targets are concerned."""
        if self.apart is not None:
            return self.apart
        models = self.values.shape[1]
        known = np.zeros((models, models), dtype=bool)
        known[self.targets] = ~self.reference
        known |= known.T
        return known

    def with_references(self, reference: Bool[np.ndarray, "targets models"]) -> SignalMatrix:
        """The same signals with fewer references; models that are left out for that may still judge others."""
        return replace(self, reference=reference, apart=self.may_not_judge())

    def __post_init__(self) -> None:
        if self.values.ndim != 3:
            raise SignalError(f"values must be [examples, models, queries], got shape {self.values.shape}")
        examples, models, _ = self.values.shape
        if self.member.shape != (examples, models) or self.member.dtype != np.bool_:
            raise SignalError(
                f"member must be bool with shape {(examples, models)}, got {self.member.dtype} {self.member.shape}"
            )
        if self.kind not in get_args(SignalKind):
            raise SignalError(f"kind must be one of {', '.join(get_args(SignalKind))}, got {self.kind!r}")
        if self.reference is None:
            object.__setattr__(self, "reference", default_reference(self.member))
        if self.ids is None:
            object.__setattr__(self, "ids", np.arange(examples, dtype=np.int64))
        if self.targets is None:
            object.__setattr__(self, "targets", np.arange(len(self.reference), dtype=np.int64))
        if self.reference.dtype != np.bool_:
            raise SignalError(f"reference must be bool, got {self.reference.dtype}")
        if len(self.targets) and not (self.targets.min() >= 0 and self.targets.max() < models):
            raise SignalError(f"targets must lie in 0..{models - 1}, got {self.targets.min()}..{self.targets.max()}")
        if self.labels is not None and len(self.labels) != examples:
            raise SignalError(f"labels must have {examples} entries, got {len(self.labels)}")
        if self.reference.shape != (len(self.targets), models):
            raise SignalError(f"reference must have shape {(len(self.targets), models)}, got {self.reference.shape}")
        if self.reference[np.arange(len(self.targets)), self.targets].any():
            raise SignalError("a target may not be its own reference; set reference[t, targets[t]] to False")
        if len(self.ids) != examples:
            raise SignalError(f"ids must have {examples} entries, got {len(self.ids)}")
        steps = range(0, examples, RECORDS_AT_ONCE)
        bad = [~np.isfinite(self.values[start : start + RECORDS_AT_ONCE]).all(axis=(1, 2)) for start in steps]
        count = sum(int(part.sum()) for part in bad)
        if count:
            first = int(np.flatnonzero(np.concatenate(bad))[0])
            raise SignalError(
                f"{count} of {examples} records have a signal that is not finite; first is record {self.ids[first]}"
            )


@dataclass(frozen=True)
class QuantilePrediction:
    """What a regressor expects a target's signal to be on records that the target was not trained on.

    Args:
        head: `gaussian`: outputs are mean and log of the standard deviation; `pinball`: quantiles at `levels`.
        values: One prediction per audited record, target and query.
        levels: Quantile levels of a pinball head, ascending in (0, 1); empty for gaussian.
        targets: Model column of each prediction; by default prediction t is of column t.
    """

    head: Literal["gaussian", "pinball"]
    values: Float32[np.ndarray, "examples targets queries outputs"]
    levels: tuple[float, ...] = ()
    targets: Int64[np.ndarray, " targets"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.targets is None:
            object.__setattr__(self, "targets", np.arange(self.values.shape[1], dtype=np.int64))

    def of(self, targets: Int64[np.ndarray, " chosen"]) -> Float32[np.ndarray, "examples chosen queries outputs"]:
        """The predictions for some model columns.

        Raises:
            SignalError: There is none for one of them, as it is not attacked in this audit.
        """
        place = {int(column): t for t, column in enumerate(self.targets)}
        missing = [int(column) for column in targets if int(column) not in place]
        if missing:
            raise SignalError(
                "QMIA's regressors are fitted for the attacked models only, and another one is needed here; "
                "leave run.num_experiments out to attack all"
            )
        return self.values[:, [place[int(column)] for column in targets]]


@dataclass(frozen=True)
class Signals:
    """Everything an attack may read: each signal kind on the audited records and on the population.

    Logits are kept only where an attack asks for them: they are as many times larger as there are classes.
    `mapped` says that the arrays are too large for memory and lie in files: attacks go through them in blocks.

    Raises:
        SignalError: The logits are of other records, models or queries than the signals.
    """

    audit: Mapping[str, SignalMatrix]
    population: Mapping[str, SignalMatrix]
    audit_logits: Float32[np.ndarray, "examples models queries classes"] | None = None
    population_logits: Float32[np.ndarray, "population models queries classes"] | None = None
    predicted: Mapping[str, QuantilePrediction] = field(default_factory=dict)
    mapped: bool = False

    def __post_init__(self) -> None:
        for part, logits, kinds in (
            ("audit", self.audit_logits, self.audit),
            ("population", self.population_logits, self.population),
        ):
            for matrix in kinds.values():
                if logits is not None and logits.shape[:3] != matrix.values.shape:
                    raise SignalError(
                        f"{part} logits must be [records, models, queries, classes] of the same "
                        f"{matrix.values.shape} as {matrix.kind}, got {logits.shape}"
                    )


@dataclass(frozen=True)
class Scores:
    """Membership scores of one attack; **higher means member, always**."""

    attack: str
    values: Float[np.ndarray, "examples targets"]
    member: Bool[np.ndarray, "examples targets"]
    ids: Int64[np.ndarray, " examples"]
    targets: Int64[np.ndarray, " targets"]
    settings: Mapping[str, Any] = field(default_factory=dict)


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
    """Thresholds that an attacker can know, beside those that only the members' list gives.

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
    all records, `tpr_own` at the group's own. p-values are of a randomisation test, NaN with a single group.
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
    """All groups of one grouping under one attack, and the largest gap in TPR between two of them."""

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
    """All answers of the blind baseline; `warns` where one is better than chance."""

    answers: tuple[BlindAnswer, ...]
    warns: bool


@dataclass(frozen=True)
class AuditResult(ShownAsTable):
    """What an audit found: metrics per attack, one table row per record, where it came from."""

    attacks: tuple[AttackResult, ...]
    records: Mapping[str, np.ndarray]
    timings: Mapping[str, float]
    provenance: Mapping[str, Any]
    comparisons: tuple[Comparison, ...] = ()
    power: Mapping[str, tuple[PowerPoint, ...]] = field(default_factory=dict)
    groups: Mapping[str, GroupTable] = field(default_factory=dict)
    grouped_attack: str = ""
    blind: BlindResult | None = None
    top_overlap: Mapping[str, float] = field(default_factory=dict)
    timeline: Mapping[str, Any] = field(default_factory=dict)
    exposed: Mapping[str, np.ndarray] = field(default_factory=dict)  # id and x of records to be shown


@dataclass(frozen=True)
class SweepFigures:
    """The winner of a sweep, and its attack with default settings, on the same targets.

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


def default_reference(member: Bool[np.ndarray, "examples models"]) -> Bool[np.ndarray, "models models"]:
    """Every model may judge every other, but not itself nor a model with exactly the opposite members."""
    opposite = opposite_models(member) if len(member) else False
    return ~(np.eye(member.shape[1], dtype=bool) | opposite)


def opposite_models(member: Bool[np.ndarray, "examples models"]) -> Bool[np.ndarray, "models models"]:
    """Whether two models were trained on exactly opposite records."""
    agreement = np.zeros((member.shape[1], member.shape[1]), dtype=np.int64)
    for start in range(0, len(member), RECORDS_AT_ONCE):
        signs = np.where(member[start : start + RECORDS_AT_ONCE], np.float32(1), np.float32(-1))
        agreement += (signs.T @ signs).astype(np.int64)  # float32 counts exactly up to 2**24 records
    opposite: np.ndarray = agreement == -len(member)
    return opposite


def fingerprint_arrays(*arrays: np.ndarray | LazyRecords) -> str:
    """SHA-256 over dtype, shape and bytes of arrays, in order; of streamed records over their own fingerprint."""
    digest = hashlib.sha256()
    for array in arrays:
        if not isinstance(array, np.ndarray):
            digest.update(array.fingerprint.encode())
            continue
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
