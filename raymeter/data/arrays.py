"""The user's own records: an .npz with x and y, or a Parquet file with feature columns and y."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from raymeter.data.records import DataSpec, Records
from raymeter.errors import DataError

LABEL_COLUMNS = ("y", "label")


def load_arrays(spec: DataSpec) -> Records:
    """Read `data.path`.

    An .npz holds `x` and `y`. A Parquet file holds `y` (or `label`) and either a list column `x` or
    one numeric column per feature.

    Raises:
        DataError: The file is missing, of another kind, or its arrays do not fit together.
    """
    if spec.path is None:
        raise DataError("data.path: dataset arrays needs the path of an .npz or .parquet file; add it")
    path = Path(spec.path).expanduser()
    if not path.is_file():
        raise DataError(f"data.path: {path} not found; give the path of an .npz or .parquet file")
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
    to [n, C, H, W]. Everything else is flattened to float32 features.

    Raises:
        DataError: Lengths differ, labels are not whole numbers from 0, or a value is not finite.
    """
    x, y = np.asarray(x), np.asarray(y)
    if y.ndim != 1 or x.ndim < 2 or len(x) != len(y):
        raise DataError(f"{where}: expected x [n, ...] and y [n], got shapes {list(x.shape)} and {list(y.shape)}")
    if not len(y):
        raise DataError(f"{where}: there are no records")
    if y.dtype.kind not in "iub" or y.min() < 0:
        raise DataError(f"{where}: y must be whole numbers 0, 1, 2, ..., got {y.dtype}; number your classes")
    if x.dtype.kind not in "fiub":
        raise DataError(f"{where}: x must be numbers, got {x.dtype}; encode texts and categories first")
    if x.dtype == np.uint8 and x.ndim in (3, 4):
        images = x[:, None] if x.ndim == 3 else x
        if images.shape[1] not in (1, 3) and images.shape[-1] in (1, 3):
            images = np.moveaxis(images, -1, 1)
        features: np.ndarray = np.ascontiguousarray(images)
    else:
        features = x.reshape(len(x), -1).astype(np.float32)
        bad = ~np.isfinite(features).all(axis=1)
        if bad.any():
            raise DataError(
                f"{where}: {int(bad.sum())} records have missing or infinite values; first is record "
                f"{int(np.flatnonzero(bad)[0])}. Fill them in or drop the records."
            )
    classes = int(y.max()) + 1
    if classes < 2:
        raise DataError(f"{where}: all records have the same label; at least two classes are needed")
    return Records(features, y.astype(np.int64), classes)


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if not {"x", "y"} <= set(file.files):
                raise DataError(f"{path} has arrays {', '.join(file.files)}; it needs x and y")
            return file["x"], file["y"]
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(
            f"{path} cannot be read ({error}); save plain arrays with numpy.savez(path, x=x, y=y)"
        ) from None


def _read_parquet(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        table = parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0]}); write it as Parquet again") from None
    label = next((name for name in LABEL_COLUMNS if name in table.column_names), None)
    if label is None:
        raise DataError(f"{path} has columns {', '.join(table.column_names[:8])}; one must be called y")
    y = table[label].to_numpy()
    try:
        if "x" in table.column_names and pa.types.is_nested(table["x"].type):
            return np.asarray(table["x"].to_pylist()), y
        features = [table[name].to_numpy() for name in table.column_names if name != label]
        if not features:
            raise DataError(f"{path} has no feature columns; add some besides {label}")
        return np.stack(features, axis=1), y
    except (ValueError, TypeError) as error:
        raise DataError(f"{path}: features must be numbers of equal shape ({error})") from None
