"""Ids of records as their user wrote them: whole numbers stay numbers, texts stay texts, character for character."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Shaped

from raymeter.errors import DataError

Ids: TypeAlias = Shaped[np.ndarray, " records"]  # int64 or str
Unit = Literal["D", "m", "s", "ms", "us", "ns"]
UNITS: tuple[Unit, ...] = ("D", "m", "s", "ms", "us")  # a date is a time without hours
FINEST: Unit = "ns"
EXACT = 2.0**53  # whole numbers below are exact as floats


def as_ids(values: np.ndarray, what: str) -> Ids:
    """Ids as int64 where they are whole numbers; texts as they are, and everything else as the text that it has.

    Args:
        values: A vector of numbers, texts, dates or other named things.
        what: They are, for messages.

    Raises:
        DataError: It is no vector, one is missing, or they are nothing that names a record.
    """
    if values.ndim != 1:
        raise DataError(f"{what} must be a vector, one for each record, got {values.dtype}{list(values.shape)}")
    kind = values.dtype.kind
    if kind in "iu":
        fits = values.dtype != np.uint64 or values.max(initial=0) <= np.iinfo(np.int64).max
        return values.astype(np.int64) if fits else values.astype(str)
    if kind == "f":
        return _from_floats(values, what)
    if kind == "M":
        _no_gaps(np.isnat(values), what)
        unit = next((unit for unit in UNITS if (values.astype(f"datetime64[{unit}]") == values).all()), FINEST)
        texts: np.ndarray = np.datetime_as_string(values, unit=unit)
        return texts
    if kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError:
            raise DataError(f"{what} are bytes that are no text in UTF-8; save them as texts") from None
    elif kind == "O":
        _no_gaps(np.array([_is_missing(value) for value in values], dtype=bool), what)
        values = np.array([str(value) for value in values])
    elif kind != "U":
        raise DataError(f"{what} must be numbers or texts, got {values.dtype}; save them as one of these")
    _no_gaps(values == "", what)
    return values


def _from_floats(values: np.ndarray, what: str) -> Ids:
    _no_gaps(~np.isfinite(values), what)
    if (values % 1 == 0).all() and (np.abs(values) < EXACT).all():  # pandas makes floats of whole numbers with gaps
        return values.astype(np.int64)
    return np.array([repr(value) for value in values.tolist()])


def _no_gaps(missing: np.ndarray, what: str) -> None:
    if missing.any():
        first = int(missing.argmax())
        raise DataError(f"{what}: {int(missing.sum())} of {len(missing)} are missing; the first is in row {first}")


def _is_missing(value: Any) -> bool:
    return value is None or isinstance(value, float) and value != value
