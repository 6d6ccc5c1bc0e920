"""The user's own records: an .npz with x and y, or a Parquet file with feature columns and y."""

from __future__ import annotations

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from raymeter.data.files import first_line, log
from raymeter.data.records import DataSpec, Records
from raymeter.errors import DataError, not_uploaded

LABEL_COLUMNS = ("y", "label")
PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def load(spec: DataSpec) -> Records:
    """Read `data.path`.

    An .npz holds `x` and `y`. A Parquet file holds `y` (or `label`) and either a list column `x`, whose
    lists have the same shape in every row, or one numeric column per feature, used in file order; the
    index that pandas may have written is no feature.

    Raises:
        DataError: The file is missing, of another kind, or its arrays do not fit together.
    """
    if spec.path is None:
        raise DataError("data.path: dataset arrays needs the path of an .npz or .parquet file; add it")
    path = Path(spec.path).expanduser()
    if not path.is_file():
        raise DataError(f"data.path: {path} not found; give the path of an .npz or .parquet file{not_uploaded()}")
    if path.suffix == ".npz":
        x, y = _read_npz(path)
    elif path.suffix in (".parquet", ".pq"):
        x, y = _read_parquet(path)
    else:
        raise DataError(f"data.path: {path} is neither .npz nor .parquet; save x and y with numpy.savez")
    return as_records(x, y, str(path))


def as_records(x: Any, y: Any, where: str) -> Records:
    """Check the user's arrays and bring them into raymeter's form.

    uint8 arrays of 3 or 4 dimensions are images: [n, H, W] gets a channel, [n, H, W, 1 or 3] is moved
    to [n, C, H, W] unless it is already of that form. Everything else becomes float32 features, flattened.
    The number of classes is the largest label + 1.

    Raises:
        DataError: Lengths differ, labels are not whole numbers from 0, or a value is not finite.
    """
    x, y = np.asarray(x), np.asarray(y)
    if y.ndim != 1 or x.ndim < 2 or len(x) != len(y):
        raise DataError(f"{where}: expected x [n, ...] and y [n], got shapes {list(x.shape)} and {list(y.shape)}")
    if not x.size:
        raise DataError(f"{where}: x has shape {list(x.shape)}, there is nothing in it")
    classes = _count_classes(y, where)
    features = _as_images(x) if x.dtype == np.uint8 and x.ndim in (3, 4) else _as_features(x, where)
    return Records(features, y.astype(np.int64), classes, where)


def _count_classes(y: np.ndarray, where: str) -> int:
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


def _as_features(x: np.ndarray, where: str) -> np.ndarray:
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
    with np.errstate(over="ignore"):  # what overflows float32 is reported as infinite
        features: np.ndarray = x.reshape(len(x), -1).astype(np.float32)
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise DataError(
            f"{where}: {int(bad.sum())} of {len(x)} records have missing or infinite values; first is record "
            f"{int(np.flatnonzero(bad)[0])}; fill them in or drop the records"
        )
    return features


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise DataError(
            f"{path} cannot be read (it is not an .npz file); save plain arrays with numpy.savez(path, x=x, y=y)"
        )
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            if not {"x", "y"} <= set(file.files):
                raise DataError(f"{path} has arrays {', '.join(file.files)}; it needs x and y")
            return file["x"], file["y"]
    except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path} cannot be read ({first_line(error)}); save plain arrays with numpy.savez(path, x=x, y=y)"
        ) from error


def _read_parquet(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}); write it as Parquet again") from error
    names = [name for name in table.column_names if not PANDAS_INDEX.fullmatch(name)]
    label = next((name for name in LABEL_COLUMNS if name in names), None)
    if label is None:
        raise DataError(f"{path} has columns {', '.join(names[:8])}; one must be called y or label")
    names.remove(label)
    y = _numbers(table[label], f"{path}: column {label}") if len(table) else np.empty(0)
    if "x" in names and pa.types.is_nested(table["x"].type):
        return _stack_lists(table["x"], f"{path}: column x"), y
    if not names:
        raise DataError(f"{path} has no feature columns; add some besides {label}")
    columns = [_numbers(table[name], f"{path}: column {name}") for name in names]
    return np.stack(columns, axis=1), y


def _numbers(column: pa.ChunkedArray, where: str) -> np.ndarray:
    """One column of numbers without gaps."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"{where} must be numbers, got {kind}; encode texts and categories as numbers first")
    if column.null_count:
        raise DataError(f"{where} has {column.null_count} missing values; fill them in or drop the records")
    values: np.ndarray = column.to_numpy()
    return values


def _stack_lists(column: pa.ChunkedArray, where: str) -> np.ndarray:
    """A column of lists, or of lists of lists, as one array; every record must have the same shape."""
    flat, shape = column.combine_chunks(), [len(column)]
    while pa.types.is_nested(flat.type):
        if not (pa.types.is_list(flat.type) or pa.types.is_large_list(flat.type) or _is_fixed(flat.type)):
            raise DataError(f"{where} must be lists of numbers, got {flat.type}")
        lengths = pc.unique(pc.list_value_length(flat)).to_pylist()
        if len(lengths) > 1 or None in lengths:
            raise DataError(f"{where} has lists of different lengths or missing lists; make them equally long")
        shape.append(lengths[0] if lengths else 0)
        flat = flat.flatten()
    return _numbers(pa.chunked_array([flat]), where).reshape(shape)


def _is_fixed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))
