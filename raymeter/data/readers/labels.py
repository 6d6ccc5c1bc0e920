"""Labels as users have them, as the classes 0, 1, 2, ... of records."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from raymeter.data.download import log
from raymeter.errors import DataError

NUMBER_THEM = "number your classes, for instance with numpy.unique(y, return_inverse=True)[1]"
FEW = 20  # different values that may well be classes, however few records there are


class Labels(NamedTuple):
    """Classes of records, and how many there are."""

    y: Int64[np.ndarray, " records"]
    num_classes: int


def as_labels(y: np.ndarray, where: str, classes: int | None = None) -> Labels:
    """Labels [n], [n, 1] or one-hot [n, classes] as classes; whole numbers may be floats.

    Args:
        y: As it was given.
        where: Of what file or function, for messages.
        classes: How many there are at least, where the user says so; then some need have no record.

    Returns:
        The labels; the number of classes is the largest + 1, or the width of one-hot rows.

    Raises:
        DataError: They are not whole numbers from 0, start above 0, are more than there are records, or are all 0.
    """
    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "fiub":
        return Labels(_from_one_hot(y, where), max(y.shape[1], classes or 0))
    labels = _whole(y.reshape(len(y)), where)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(labels):
        raise DataError(
            f"{where}: y must be whole numbers 0, 1, 2, ... up to the number of classes - 1, got {low}..{high} in "
            f"{len(labels)} records; {_remedy(labels)}"
        )
    if high == 0 and (classes or 0) < 2:
        raise DataError(f"{where}: all records have label 0; at least two classes are needed")
    if classes is None:
        _no_empty_classes(labels, low, high, where)
    return Labels(labels, max(high + 1, classes or 0))


def _from_one_hot(y: np.ndarray, where: str) -> Int64[np.ndarray, " records"]:
    if not ((y == 0) | (y == 1)).all() or (y.sum(axis=1) != 1).any():
        raise DataError(
            f"{where}: y has shape {list(y.shape)} and its rows are not one-hot (a single 1, all others 0); give the "
            "class of each record as one whole number"
        )
    labels: Int64[np.ndarray, " records"] = y.argmax(axis=1).astype(np.int64)
    return labels


def _whole(y: np.ndarray, where: str) -> Int64[np.ndarray, " records"]:
    if y.dtype.kind == "f":
        missing = int((~np.isfinite(y)).sum())
        if missing:
            raise DataError(
                f"{where}: {missing} of {len(y)} records have no label (missing or infinite); drop these records"
            )
        if not (y % 1 == 0).all():
            raise DataError(f"{where}: y must be whole numbers 0, 1, 2, ..., got {y.dtype}; {_remedy(y)}")
    elif y.dtype.kind not in "iub":
        raise DataError(f"{where}: y must be whole numbers 0, 1, 2, ..., got {y.dtype}; {NUMBER_THEM}")
    labels: Int64[np.ndarray, " records"] = y.astype(np.int64)
    return labels


def _remedy(y: np.ndarray) -> str:
    """What to do with numbers that are no classes: a quantity is not to be numbered."""
    different = len(np.unique(y))
    quantity = different > FEW and different > len(y) / 10
    if y.dtype.kind == "f":
        quantity |= different == len(y)
    if not quantity:
        return NUMBER_THEM
    return (
        f"its {different} different values from {y.min():g} to {y.max():g} look like a quantity, and raymeter audits "
        "classifiers; sort it into classes, for instance with numpy.digitize"
    )


def _no_empty_classes(labels: Int64[np.ndarray, " records"], low: int, high: int, where: str) -> None:
    if low > 0:
        raise DataError(
            f"{where}: labels are {low}..{high}, so class 0 has no records; use y - {low}, or where class 0 exists "
            "return Records with num_classes from your own function"
        )
    empty = np.setdiff1d(np.arange(high + 1), labels)
    if len(empty):
        some = ", ".join(map(str, empty[:5])) + (", ..." if len(empty) > 5 else "")
        log.warning("%s: %d of %d classes have no records (%s): were they left out?", where, len(empty), high + 1, some)
