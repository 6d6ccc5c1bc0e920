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
LOG_2 = float(np.log(2.0))


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
        return replace(self, log_prob=within_float32(self.log_prob), logit_gap=within_float32(self.logit_gap))


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
        float32 signals. A probability that was rounded to 0 or 1 (an infinite log-odds, log-probability or loss,
        too) is taken for half of the smallest step of its type away from it, of float64 where it is a whole number or
        a truth value, and beyond all others in any case: ties stay ties, and the order stays. `saturated` says how
        often that was done. What is finite and beyond float32 becomes its largest number.

    Raises:
        DataError: A shape or a value that is not of this kind, with the kind that it looks like.
    """
    if kind not in get_args(Kind):
        raise DataError(f"{what}: kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
    axes = 4 if kind == "logits" else 3
    if values.ndim == axes - 1:
        values = values[:, :, None]
    names = "records, models, views, classes" if kind == "logits" else "records, models, views"
    if values.ndim != axes or values.dtype.kind not in ("fiub" if kind == "prob" else "fiu"):
        one = "; of a single logit per record give both: 0 and its own, as a last axis" if values.ndim < axes else ""
        hint = one if kind == "logits" and values.dtype.kind in "fiu" else ""
        raise DataError(
            f"{what}: {kind} must be numbers [{names}], views may be left out; got {shape_of(values)}{hint}"
        )
    if not values.size:
        raise DataError(f"{what}: no signals in {shape_of(values)}; give one for each record and model")
    lost = np.isnan(values) if kind != "logits" else ~np.isfinite(values)
    if lost.any():
        row = np.argwhere(lost)[0]
        raise DataError(f"{what}: row {row[0]} of model {row[1]} is not finite; remove the record or repair its model")
    if kind == "logits":
        return _from_logits(values, labels, what)
    return _from_one_class(values, kind, what).as_float32()


def _from_one_class(values: np.ndarray, kind: Kind, what: str) -> SignalPair:
    exact = values.astype(np.float64)
    if kind == "prob":
        _within(exact, 0.0, 1.0, what, "probabilities", "log_prob, loss or logit_gap")
        zero, one = exact == 0, exact == 1
        p = np.where(zero | one, 0.5, exact)
        log_prob, gap = np.log(p), np.log(p) - np.log1p(-p)
    elif kind == "logit_gap":
        zero, one = exact == -np.inf, exact == np.inf
        gap = np.where(zero | one, 0.0, exact)
        log_prob = log_sigmoid(gap)
    else:
        if kind == "loss":
            _within(exact, 0.0, np.inf, what, "losses", "log_prob, prob or logit_gap")
            exact = -exact
        else:
            _within(exact, -np.inf, 0.0, what, "log-probabilities", "loss, prob or logit_gap")
        zero, one = exact == -np.inf, exact == 0
        log_prob = np.where(zero | one, -1.0, exact)
        gap = log_prob - np.log(-np.expm1(log_prob))
    return _bounded(log_prob, gap, zero, one, values.dtype)


def _bounded(log_prob: np.ndarray, gap: np.ndarray, zero: np.ndarray, one: np.ndarray, dtype: np.dtype) -> SignalPair:
    """Signals with a finite value, beyond all others, where the probability was rounded to 0 or 1."""
    info = np.finfo(dtype if dtype.kind == "f" and dtype.itemsize < 8 else np.float64)
    lowest = float(np.log(float(info.tiny)) + np.log(float(info.eps))) - LOG_2  # of half of the smallest number above 0
    highest = 2 * LOG_2 - float(np.log(float(info.eps)))  # of 1 minus half of the smallest step below 1
    whole = ~(zero | one)
    below = min(lowest, float(log_prob.min(where=whole, initial=np.inf)) - LOG_2)
    above = max(highest, float(gap.max(where=whole, initial=-np.inf)) + LOG_2)
    log_prob[zero] = below
    gap[zero] = min(below, float(gap.min(where=whole, initial=np.inf)) - LOG_2)
    log_prob[one], gap[one] = 0.0, above
    return SignalPair(log_prob, gap, int((~whole).sum()))


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
    pair = SignalPair(log_sigmoid(gap), gap).as_float32()
    return replace(pair, logits=within_float32(values))


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


def log_sigmoid(gap: np.ndarray) -> np.ndarray:
    """log p from log p - log (1 - p), in float64."""
    log_prob: np.ndarray = np.minimum(gap, 0.0) - np.log1p(np.exp(-np.abs(gap)))
    return log_prob


def within_float32(values: np.ndarray) -> Float32[np.ndarray, ...]:
    """As float32, what is beyond it as its largest or smallest number."""
    limit = np.finfo(np.float32).max
    bounded: np.ndarray = np.clip(values, -limit, limit).astype(np.float32)
    return bounded


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
