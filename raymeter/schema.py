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
