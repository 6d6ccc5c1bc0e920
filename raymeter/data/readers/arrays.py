"""The user's own records: an .npz with x and y, or Parquet files with feature columns and y."""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from raymeter.data.download import log
from raymeter.data.loaded_records import Records
from raymeter.data.readers.parquet import is_parquet, list_tables, read_table, table_arrays
from raymeter.errors import DataError, StoreError, first_line, not_uploaded
from raymeter.schema.dataset import DataSpec
from raymeter.schema.plain_arrays import plain_array
from raymeter.storage.addresses import is_remote, shown
from raymeter.storage.buckets import read_object


def load(spec: DataSpec) -> Records:
    """Read `data.path`.

    An .npz holds `x` and `y`. A Parquet file, or a directory of them (local, s3:// or gs://), holds `y` (or
    `label`) and either a list column `x`, whose lists have the same shape in every row, or one numeric column per
    feature, used in file order; the index that pandas may have written is no feature. Files of a directory follow
    one another in the order of their names.

    Raises:
        DataError: The file is missing, of another kind, or its arrays do not fit together.
    """
    if spec.path is None:
        raise DataError("data.path: dataset arrays needs the path of an .npz or .parquet file; add it")
    if is_parquet(spec.path):
        source = list_tables(spec.path)
        x, y = table_arrays(read_table(source), shown(spec.path))
        return as_records(x, y, shown(spec.path))
    if is_remote(spec.path):
        return as_records(*_read_remote(spec.path), shown(spec.path))
    path = Path(spec.path).expanduser()
    if not path.is_file():
        raise DataError(f"data.path: {path} not found; give the path of an .npz or .parquet file{not_uploaded()}")
    if path.suffix != ".npz":
        raise DataError(f"data.path: {path} is neither .npz nor .parquet; save x and y with numpy.savez")
    x, y = _read_npz(path)
    return as_records(x, y, str(path))


def as_records(x: Any, y: Any, where: str, limit: int | None = None) -> Records:
    """Check the user's arrays and bring them into raymeter's form.

    uint8 arrays of 3 or 4 dimensions are images: [n, H, W] gets a channel, [n, H, W, 1 or 3] is moved
    to [n, C, H, W] unless it is already of that form. Everything else becomes float32 features, flattened.
    The number of classes is the largest label + 1. Tensors, sparse matrices and lists are taken as `plain_array` does.

    Args:
        limit: Bytes that sparse records may take when they are written out.

    Raises:
        DataError: Lengths differ, labels are not whole numbers from 0, or a value is not finite.
    """
    x, y = plain_array(x, f"{where}: x", limit), plain_array(y, f"{where}: y", limit)
    if y.ndim != 1 or x.ndim < 2 or len(x) != len(y):
        raise DataError(f"{where}: expected x [n, ...] and y [n], got shapes {list(x.shape)} and {list(y.shape)}")
    if not x.size:
        raise DataError(f"{where}: x has shape {list(x.shape)}, there is nothing in it")
    classes = count_classes(y, where)
    return Records(as_features(x, where), y.astype(np.int64), classes, where)


def as_features(x: np.ndarray, where: str) -> np.ndarray:
    """Images stay uint8, with their channels first; everything else becomes float32, one row per record."""
    return _as_images(x) if x.dtype == np.uint8 and x.ndim in (3, 4) else _as_vectors(x, where)


def count_classes(y: np.ndarray, where: str) -> int:
    """The number of classes of labels 0, 1, 2, ...: the largest + 1.

    Raises:
        DataError: Labels are not whole numbers from 0, more than there are records, or all 0.
    """
    if y.dtype.kind not in "iub":
        raise DataError(
            f"{where}: y must be whole numbers 0, 1, 2, ..., got {y.dtype}; number your classes, for instance with "
            "numpy.unique(y, return_inverse=True)[1]"
        )
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= len(y):
        raise DataError(
            f"{where}: y must be whole numbers 0, 1, 2, ... up to the number of classes - 1, got {low}..{high} in "
            f"{len(y)} records; number your classes"
        )
    if high == 0:
        raise DataError(f"{where}: all records have label 0; at least two classes are needed")
    return high + 1


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
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        row = x[bad][0].ravel().astype(np.float64)
        if np.isfinite(row).all():
            raise DataError(
                f"{where}: record {int(np.flatnonzero(bad)[0])} has the value {row[np.abs(row).argmax()]:g}, and "
                "records are float32; scale the features"
            )
        raise DataError(
            f"{where}: {int(bad.sum())} of {len(x)} records have missing or infinite values; first is record "
            f"{int(np.flatnonzero(bad)[0])}; fill them in or drop the records"
        )
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


def _arrays_of(stream: BinaryIO, where: str) -> tuple[np.ndarray, np.ndarray]:
    if not zipfile.is_zipfile(stream):
        raise DataError(
            f"{where} cannot be read (it is not an .npz file); save plain arrays with numpy.savez(path, x=x, y=y)"
        )
    stream.seek(0)
    try:
        with np.load(stream, allow_pickle=False) as file:
            if not {"x", "y"} <= set(file.files):
                raise DataError(f"{where} has arrays {', '.join(file.files)}; it needs x and y")
            return file["x"], file["y"]
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{where} cannot be read ({first_line(error)}); save plain arrays with numpy.savez(path, x=x, y=y)"
        ) from error
