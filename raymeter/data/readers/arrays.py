"""The user's own records: an .npz with x and y, or Parquet files with feature columns and y."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raymeter.data.download import log
from raymeter.data.loaded_records import Records
from raymeter.data.readers.labels import as_labels
from raymeter.data.readers.parquet import (
    NO_FEATURE,
    Columns,
    columns_of,
    is_parquet,
    list_tables,
    read_table,
    table_features,
    table_labels,
)
from raymeter.data.readers.tables import encode, is_csv, read_csv_file
from raymeter.errors import DataError, StoreError, first_line, not_uploaded
from raymeter.schema.array_files import arrays_of
from raymeter.schema.dataset import DataSpec, TableChoice
from raymeter.schema.plain_arrays import plain_array
from raymeter.storage.addresses import is_remote, shown
from raymeter.storage.buckets import read_object


def load(spec: DataSpec) -> Records:
    """Read `data.path`.

    A CSV file, and a Parquet file of which data.label, drop, id or categorical says something, are encoded column by
    column, see `readers/tables.py`.

    An .npz holds `x` and `y`. A Parquet file, or a directory of them (local, s3:// or gs://), holds `y` (or
    `label`) and either a list column `x`, whose lists have the same shape in every row, or one numeric column per
    feature, used in file order; an index of pandas and a column `id` are no features (see `columns_of`). Files of a
    directory follow one another in the order of their names.

    Raises:
        DataError: The file is missing, of another kind, or its arrays do not fit together.
    """
    if spec.path is None:
        raise DataError("data.path: dataset arrays needs the path of a .csv, .parquet or .npz file; add it")
    if is_csv(spec.path):
        return encode(read_csv_file(spec.path), spec.table, shown(spec.path))
    if is_parquet(spec.path) and spec.table != TableChoice():
        return encode(read_table(list_tables(spec.path)), spec.table, shown(spec.path))
    if is_parquet(spec.path):
        table, where = read_table(list_tables(spec.path)), shown(spec.path)
        columns = columns_of(table.schema, where)
        y = table_labels(table, columns, where)
        return as_records(table_features(table, columns, where), y, where, columns=columns)
    if is_remote(spec.path):
        return as_records(*_read_remote(spec.path), shown(spec.path))
    path = Path(spec.path).expanduser()
    if not path.is_file():
        raise DataError(f"data.path: {path} not found; give the path of a .csv, .parquet or .npz file{not_uploaded()}")
    if path.suffix != ".npz":
        raise DataError(f"data.path: {path} is neither .csv nor .parquet nor .npz; save x and y with numpy.savez")
    x, y = _read_npz(path)
    return as_records(x, y, str(path))


def as_records(
    x: Any,
    y: Any,
    where: str,
    *,
    columns: Columns | None = None,
    classes: int | None = None,
    limit: int | None = None,
) -> Records:
    """Check the user's arrays and bring them into raymeter's form.

    uint8 arrays of 3 or 4 dimensions are images: [n, H, W] gets a channel, [n, H, W, 1 or 3] is moved
    to [n, C, H, W] unless it is already of that form. Everything else becomes float32 features, flattened.
    For labels see `as_labels`. Tensors, sparse matrices and lists are taken as `plain_array` does.

    Args:
        x: Records.
        y: Their labels.
        where: What they are of, for messages.
        columns: Of the table that they come from.
        classes: How many classes there are at least, where the user says so.
        limit: Bytes that sparse records may take when they are written out.

    Raises:
        DataError: Lengths differ, labels are no classes, or a value is not finite.
    """
    if columns is None:
        x, columns = _without_ids(x)
    x, y = plain_array(x, f"{where}: x", limit), plain_array(y, f"{where}: y", limit)
    if not (y.ndim == 1 or y.ndim == 2 and y.shape[1]) or x.ndim < 2 or len(x) != len(y):
        raise DataError(f"{where}: expected x [n, ...] and y [n], got shapes {list(x.shape)} and {list(y.shape)}")
    if not x.size:
        raise DataError(f"{where}: x has shape {list(x.shape)}, there is nothing in it")
    labels, features = as_labels(y, where, classes), as_features(x, where)
    names = () if columns is None else columns.features
    refuse_gaps(Gaps().within(features), where, names)
    left_out = () if columns is None else columns.left_out
    named = names if len(names) == features[0].size else ()
    return Records(features, labels.y, labels.num_classes, where, named, left_out)


def _without_ids(x: Any) -> tuple[Any, Columns | None]:
    """A data frame without its columns of ids, and what its columns are; anything else as it is."""
    if not hasattr(x, "columns") or not hasattr(x, "to_numpy"):
        return x, None
    names = [str(name) for name in x.columns]
    kept = [position for position, name in enumerate(names) if not NO_FEATURE.fullmatch(name)]
    left_out = tuple(name for name in names if NO_FEATURE.fullmatch(name))
    if left_out:
        x = x.iloc[:, kept] if hasattr(x, "iloc") else x[[names[position] for position in kept]]
    return x.to_numpy(), Columns(tuple(names[position] for position in kept), "", left_out)


def as_features(x: np.ndarray, where: str) -> np.ndarray:
    """Images stay uint8, with their channels first; everything else becomes float32, one row per record."""
    return _as_images(x) if x.dtype == np.uint8 and x.ndim in (3, 4) else _as_vectors(x, where)


@dataclass(frozen=True)
class Gaps:
    """Records with missing or infinite values among those seen so far: how many, and the first with its column."""

    seen: int = 0
    records: int = 0
    first: tuple[int, int] | None = None

    def within(self, features: np.ndarray) -> Gaps:
        """The same after some more records."""
        bad = ~np.isfinite(features)
        rows = bad.any(axis=tuple(range(1, bad.ndim)))
        first = self.first
        if first is None and rows.any():
            row = int(rows.argmax())
            first = self.seen + row, int(bad[row].argmax())
        return Gaps(self.seen + len(features), self.records + int(rows.sum()), first)


def refuse_gaps(gaps: Gaps, where: str, names: Sequence[str] = ()) -> None:
    """Raise DataError where values are missing or infinite: how many records have any, and the first."""
    if gaps.first is not None:
        row, column = gaps.first
        name = f", column {names[column]}" if len(names) > column else ""
        raise DataError(
            f"{where}: {gaps.records} of {gaps.seen} records have missing or infinite values; first is record "
            f"{row}{name}; fill them in or drop the records"
        )


def _as_images(x: np.ndarray) -> np.ndarray:
    images = x[:, None] if x.ndim == 3 else x
    if images.shape[1] not in (1, 3) and images.shape[-1] in (1, 3):
        images = np.moveaxis(images, -1, 1)
    return np.ascontiguousarray(images)


def _as_vectors(x: np.ndarray, where: str) -> np.ndarray:
    if x.dtype.kind not in "fiub":
        raise DataError(f"{where}: x must be numbers, got {x.dtype}; encode texts and categories first")
    if x.ndim == 4:
        log.warning(
            "%s: x is %s, not uint8, so each record is flattened to %d features; save images as uint8 to keep "
            "them images",
            where,
            x.dtype,
            x[0].size,
        )
    with np.errstate(over="ignore"):  # what overflows float32 is refused
        features: np.ndarray = x.reshape(len(x), -1).astype(np.float32)
    too_large = np.isinf(features) & np.isfinite(x.reshape(len(x), -1))
    if too_large.any():
        row, column = np.argwhere(too_large)[0]
        value = float(x.reshape(len(x), -1)[row, column])
        raise DataError(f"{where}: record {row} has the value {value:g}, and records are float32; scale the features")
    return features


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with path.open("rb") as stream:
        return _arrays_of(stream, str(path))


def _read_remote(address: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of an .npz in a bucket."""
    try:
        data = read_object(address)
    except StoreError as error:
        raise DataError(f"data.path: {error}") from None
    if data is None:
        raise DataError(f"data.path: {shown(address)} not found; give the address of an .npz or .parquet file")
    return _arrays_of(io.BytesIO(data), shown(address))


def _arrays_of(stream: io.BufferedIOBase, where: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        arrays = arrays_of(stream, ("x", "y"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise DataError(
            f"{where} cannot be read ({reason}); save plain arrays with numpy.savez(path, x=x, y=y)"
        ) from error
    return arrays["x"], arrays["y"]
