"""Signals of audited records under all models, with the design of who trained on what and who may judge whom.

Axes have names, the same everywhere: *pool* (records that may train a model), *examples* (audited
records), *models*, *targets*, *queries* (views of a record, at least one, always present) and
*population* (records that no model trained on).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped

from raymeter.errors import SignalError

RECORDS_AT_ONCE = 262_144  # where all records are gone through: bounds what is copied
SignalKind = Literal["log_prob", "logit_gap", "hinge", "neg_entropy", "neg_modified_entropy"]
KINDS = ("log_prob", "logit_gap")  # that are stored, in this order
View = Literal["identity", "mirror"]


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
        ids: Names of records, for error messages and reports: whole numbers (int64), or texts where their user gave
            other names; by default 0, 1, 2, ...
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
    ids: Shaped[np.ndarray, " examples"] = None  # type: ignore[assignment]
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
        self._check_finite()

    def _check_finite(self) -> None:
        """Name the models where few of them have all that is not finite, else the records."""
        examples, models, _ = self.values.shape
        starts = range(0, examples, RECORDS_AT_ONCE)
        bad = [~np.isfinite(self.values[start : start + RECORDS_AT_ONCE]).all(axis=2) for start in starts]
        if not any(block.any() for block in bad):
            return
        where = np.concatenate(bad)
        rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
        first = f"first is record {self.ids[rows[0]]}"
        if len(columns) <= max(1, models // 4) and len(columns) < models:
            named = ", ".join(map(str, columns[:5].tolist())) + (", ..." if len(columns) > 5 else "")
            raise SignalError(
                f"{'models' if len(columns) > 1 else 'model'} {named} gave a signal that is not finite for {len(rows)} "
                f"of {examples} records; {first}; leave out what diverged, or train it again"
            )
        raise SignalError(f"{len(rows)} of {examples} records have a signal that is not finite; {first}")


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

    @property
    def design(self) -> SignalMatrix:
        """One kind of the audited records' signals: masks, targets, ids and labels are the same in all of them."""
        return next(iter(self.audit.values()))

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
