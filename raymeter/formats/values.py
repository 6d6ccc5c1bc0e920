"""What all formats share: the values that are read and written, and both signals made from whichever was given."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float, Float32, Int64
from pyarrow import parquet

from raymeter.errors import DataError
from raymeter.schema.ids import Ids
from raymeter.schema.logits import logit_gap
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, Signals, default_reference

Kind = Literal["prob", "log_prob", "loss", "logit_gap", "logits"]
File = tuple[str, bytes]


@dataclass(frozen=True)
class Extras:
    """What a user adds where a format leaves something out; None where nothing was added.

    `members` is a matrix, or arrays of record ids by the name of a model. `batch_norm` says how the models
    normalised when the signals were made: `eval` (running statistics) or `batch`.
    """

    ids: Ids | None = None
    labels: Int64[np.ndarray, " dataset"] | None = None
    members: Mapping[str, np.ndarray] = field(default_factory=dict)
    kind: Kind | None = None
    logits: bool = False
    batch_norm: str | None = None


@dataclass(frozen=True)
class Imported:
    """Signals as another tool wrote them, in raymeter's orientation, and what was found while reading them."""

    signals: Signals
    about: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    scores: Mapping[str, Scores] = field(default_factory=dict)


@dataclass(frozen=True)
class Exported:
    """The files of another tool's layout, and what they do not say."""

    files: Iterator[File]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SignalPair:
    """Both signals that attacks work on, made from one that was given; float32 but while they are computed."""

    log_prob: Float[np.ndarray, "records models queries"]
    logit_gap: Float[np.ndarray, "records models queries"]
    saturated: int = 0
    logits: Float32[np.ndarray, "records models queries classes"] | None = None

    def as_float32(self) -> SignalPair:
        """As it is stored."""
        return replace(self, log_prob=self.log_prob.astype(np.float32), logit_gap=self.logit_gap.astype(np.float32))


@dataclass(frozen=True)
class PopulationSignals:
    """Signals of records that no model was trained on, and their classes where they are known."""

    pair: SignalPair
    labels: Int64[np.ndarray, " population"] | None = None


def make_signals(values: np.ndarray, kind: Kind, labels: np.ndarray | None, what: str) -> SignalPair:
    """Log-probability and logit gap of the true class from whichever of them was given.

    Args:
        values: [records, models] or [records, models, queries]; logits have the classes as a last axis more.
        kind: `prob`, `log_prob` or `loss` (its negative) of the true class; `logit_gap`, log p - log (1 - p);
            `logits` of all classes.
        labels: Class of each record; needed for logits alone.

    Returns:
        float32 signals. A probability that was rounded to 0 or 1 is taken for half of the smallest step of its
        type away from it; `saturated` says how often that was done.

    Raises:
        DataError: A shape or a value that is not of this kind, with the kind that it looks like.
    """
    if kind not in get_args(Kind):
        raise DataError(f"{what}: kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    axes = 4 if kind == "logits" else 3
    if values.ndim == axes - 1:
        values = values[:, :, None]
    names = "records, models, views, classes" if kind == "logits" else "records, models, views"
    if values.ndim != axes or values.dtype.kind not in "fiu":
        one = "; of a single logit per record give both: 0 and its own, as a last axis" if values.ndim < axes else ""
        hint = one if kind == "logits" and values.dtype.kind in "fiu" else ""
        raise DataError(
            f"{what}: {kind} must be numbers [{names}], views may be left out; got {shape_of(values)}{hint}"
        )
    if not values.size:
        raise DataError(f"{what}: no signals in {shape_of(values)}; give one for each record and model")
    if not np.isfinite(values).all():
        row = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{what}: row {row[0]} of model {row[1]} is not finite; remove the record or repair its model")
    if kind == "logits":
        return _from_logits(values, labels, what)
    if kind == "logit_gap":
        gap = values.astype(np.float64)
        return SignalPair(np.minimum(gap, 0.0) - np.log1p(np.exp(-np.abs(gap))), gap, 0).as_float32()
    return _from_one_class(values, kind, what).as_float32()


def _from_one_class(values: np.ndarray, kind: Kind, what: str) -> SignalPair:
    step = float(np.finfo(values.dtype).eps) / 4 if values.dtype.kind == "f" else 2.0**-54
    exact = values.astype(np.float64)
    if kind == "prob":
        _within(exact, 0.0, 1.0, what, "probabilities", "log_prob, loss or logit_gap")
        least = float(np.finfo(values.dtype).smallest_subnormal) / 2 if values.dtype == np.float32 else 5e-324
        saturated = int(((exact == 0) | (exact == 1)).sum())
        p = np.clip(exact, least, 1 - step)
        log_prob, gap = np.log(p), np.log(p) - np.log1p(-p)
        return SignalPair(np.where(exact == 1, 0.0, log_prob), gap, saturated)
    if kind == "loss":
        _within(exact, 0.0, np.inf, what, "losses", "log_prob, prob or logit_gap")
    else:
        _within(exact, -np.inf, 0.0, what, "log-probabilities", "loss, prob or logit_gap")
    log_prob = -exact if kind == "loss" else exact
    rounded = log_prob == 0
    smallest = np.abs(log_prob[~rounded]).min(initial=np.inf)
    inner = np.where(rounded, -min(step, smallest / 2), log_prob)
    return SignalPair(log_prob, inner - np.log(-np.expm1(inner)), int(rounded.sum()))


def _from_logits(values: np.ndarray, labels: np.ndarray | None, what: str) -> SignalPair:
    records, _, _, classes = values.shape
    if classes == 1:
        raise DataError(
            f"{what}: each record has a single logit, of two classes; give both: 0 and its own, "
            "numpy.concatenate([numpy.zeros_like(z), z], axis=-1)"
        )
    if labels is None:
        raise DataError(f"{what}: logits need the class of each record; add labels")
    if labels.shape != (records,) or labels.min(initial=0) < 0 or labels.max(initial=0) >= classes:
        raise DataError(
            f"{what}: labels must be {records} classes in 0..{classes - 1}, got {shape_of(labels)} with values "
            f"{labels.min(initial=0)}..{labels.max(initial=0)}"
        )
    gap = logit_gap(values, np.broadcast_to(labels[:, None, None], values.shape[:3]))
    pair = SignalPair(np.minimum(gap, 0.0) - np.log1p(np.exp(-np.abs(gap))), gap).as_float32()
    return SignalPair(pair.log_prob, pair.logit_gap, 0, values.astype(np.float32))


def _within(values: np.ndarray, low: float, high: float, what: str, name: str, others: str) -> None:
    rounding = 1e-6
    bad = (values < low - rounding) | (values > high + rounding)
    if bad.any():
        row = np.argwhere(bad)[0]
        bounds = (
            f"at least {low:g}" if high == np.inf else f"at most {high:g}" if low == -np.inf else f"{low:g}..{high:g}"
        )
        raise DataError(
            f"{what}: {name} must be {bounds}, got {values[tuple(row)]:g} in row {row[0]}; say what they are with "
            f"--kind {others}"
        )
    np.clip(values, low, high, out=values)


def assemble_signals(
    pair: SignalPair,
    member: Bool[np.ndarray, "records models"],
    ids: Ids,
    labels: Int64[np.ndarray, " records"] | None,
    population: PopulationSignals | None = None,
    targets: Sequence[int] | None = None,
) -> Signals:
    """Both signals of the records, and of a population where there is one, as attacks take them.

    Args:
        pair: Of the records.
        member: Whether each model was trained on each record.
        ids: Of the records, each once.
        labels: Class of each record, None where it is not known.
        population: Under the same models and views.
        targets: Models that are attacked, by default all. A model with exactly the opposite members judges none of
            them, as in an audit.

    Raises:
        DataError: The population has other models or views.
    """
    reference = default_reference(member)
    chosen = np.arange(member.shape[1]) if targets is None else np.asarray(targets, dtype=np.int64)
    judged: dict[str, Any] = {"reference": reference[chosen], "targets": chosen}
    if population is None:
        nothing = np.zeros((0, *pair.log_prob.shape[1:]), dtype=np.float32)
        no_labels = None if labels is None else np.zeros(0, dtype=np.int64)
        population = PopulationSignals(SignalPair(nothing, nothing), no_labels)
    outside = population.pair
    if outside.log_prob.shape[1:] != pair.log_prob.shape[1:]:
        raise DataError(
            f"the population must be under the same models and views as the records, got {outside.log_prob.shape[1:]} "
            f"and {pair.log_prob.shape[1:]}"
        )
    nobody = np.zeros(outside.log_prob.shape[:2], dtype=bool)
    about: dict[str, Any] = {"ids": ids, "labels": labels, **judged}
    about_outside: dict[str, Any] = {"ids": np.arange(len(nobody)), "labels": population.labels, **judged}
    kinds = ("log_prob", "logit_gap")
    return Signals(
        audit={kind: SignalMatrix(kind, getattr(pair, kind), member, **about) for kind in kinds},
        population={kind: SignalMatrix(kind, getattr(outside, kind), nobody, **about_outside) for kind in kinds},
        audit_logits=pair.logits,
        population_logits=outside.logits,
    )


def saturation_note(pair: SignalPair) -> list[str]:
    """One line where probabilities were rounded to 0 or 1: what is lost with them."""
    if not pair.saturated:
        return []
    share = pair.saturated / pair.log_prob.size
    return [
        f"{pair.saturated} signals ({share:.1%}) were rounded to a probability of 0 or 1: LiRA cannot "
        "distinguish them; with logits or logit gaps it can"
    ]


def npy(array: np.ndarray) -> bytes:
    """A .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def parquet_file(columns: Mapping[str, np.ndarray]) -> bytes:
    """A Parquet file of these columns."""
    buffer = io.BytesIO()
    parquet.write_table(pa.table(dict(columns)), buffer, compression="zstd")
    return buffer.getvalue()


def probabilities(log_prob: Float32[np.ndarray, "records models queries"]) -> Float[np.ndarray, "records models"]:
    """True-class probability under the first view."""
    first_view: np.ndarray = np.exp(log_prob[:, :, 0].astype(np.float64))
    return first_view


def one_view(signals: Signals) -> list[str]:
    """One line where a format has room for one view and there are more."""
    views = signals.audit["log_prob"].values.shape[2]
    return [] if views == 1 else [f"the format has one view per record: the first of {views} is written"]


def shape_of(array: np.ndarray) -> str:
    """An array's type and shape, for messages."""
    return f"{array.dtype}{list(array.shape)}"
