"""Purchase-100 and Texas-100 from the CSV archives that Shokri et al. published (S&P 2017)."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from raymeter.data.files import fetch, find_file, missing
from raymeter.data.records import DataSpec, Records
from raymeter.errors import DataError

PURCHASE_URL = "https://www.comp.nus.edu.sg/~reza/files/dataset_purchase.tgz"
TEXAS_URL = "https://www.comp.nus.edu.sg/~reza/files/dataset_texas.tgz"
CLASSES = 100


def load_purchase100(spec: DataSpec) -> Records:
    """197324 shopping records: 600 binary features float32, 100 classes."""
    table = _read(spec, ["dataset_purchase"], PURCHASE_URL)["dataset_purchase"]
    if table.shape[1] != 601:
        raise DataError(f"purchase100: expected a label and 600 features in a row, got {table.shape[1]} columns")
    return _records(spec, table[:, 1:], table[:, 0])


def load_texas100(spec: DataSpec) -> Records:
    """67330 hospital records: 6169 binary features float32, 100 classes."""
    tables = _read(spec, ["dataset_texas/feats", "dataset_texas/labels"], TEXAS_URL)
    features, labels = tables["dataset_texas/feats"], tables["dataset_texas/labels"]
    if features.shape[1] != 6169 or labels.shape[1] != 1 or len(features) != len(labels):
        raise DataError(
            f"texas100: expected feats of 6169 columns and labels of 1, equally long, got {list(features.shape)} "
            f"and {list(labels.shape)}"
        )
    return _records(spec, features, labels[:, 0])


def _records(spec: DataSpec, x: np.ndarray, labels: np.ndarray) -> Records:
    y = labels.astype(np.int64) - 1  # published labels count from 1
    if (y != labels - 1).any() or y.min() < 0 or y.max() >= CLASSES:
        raise DataError(f"{spec.dataset}: labels must be whole numbers 1..{CLASSES}; get the files again")
    return Records(np.ascontiguousarray(x), y, CLASSES)


def _read(spec: DataSpec, names: Sequence[str], url: str) -> dict[str, np.ndarray]:
    """The named CSV files from data_dir, else out of the archive there, else out of a downloaded archive."""
    if all((spec.root / name).is_file() for name in names):
        return {name: _parse((spec.root / name).read_bytes(), spec.root / name) for name in names}
    archive_name = url.rsplit("/", 1)[-1]
    archive = find_file([archive_name], [spec.root])
    if archive is None and not spec.download:
        raise missing(
            spec.dataset, names, spec.root, f"set data.download: true, or get {url} and put {archive_name} there"
        )
    archive = archive or fetch(spec.dataset, [url], spec.root, None)
    return {name: _parse(_member(archive, name), archive / name) for name in names}


def _member(archive: Path, name: str) -> bytes:
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and (member.name.lstrip("./") == name or member.name.endswith(f"/{name}")):
                    return tar.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive} is corrupt ({error}); delete it and get it again") from None
    raise DataError(f"{archive} has no file {name}; delete it and get it again")


def _parse(data: bytes, path: Path) -> np.ndarray:
    options = csv.ReadOptions(autogenerate_column_names=True)
    try:
        table = csv.read_csv(pa.BufferReader(data), read_options=options)
        columns = [column.to_numpy().astype(np.float32) for column in table.columns]
    except (pa.ArrowInvalid, ValueError) as error:
        raise DataError(f"{path} is corrupt ({str(error).splitlines()[0]}); delete it and get it again") from None
    values = np.stack(columns, axis=1)
    if not np.isfinite(values).all():
        raise DataError(f"{path} has empty or non-numeric cells; delete it and get it again")
    return values
