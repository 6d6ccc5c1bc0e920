"""Shared by Purchase-100 and Texas-100: CSV files without header, alone or in the archives of Shokri et al."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from pyarrow import csv

from raymeter.data.download import fetch, find_file, missing, read_members, report_checksum
from raymeter.data.loaded_records import Records
from raymeter.errors import DataError, first_line
from raymeter.schema.dataset import DataSpec

CLASSES = 100
BLOCK_BYTES = 1 << 24


def read_tables(spec: DataSpec, names: Sequence[str], url: str) -> tuple[dict[str, np.ndarray], str]:
    """The named CSV files from `data_dir`, else out of the archive there, else out of a downloaded archive.

    `data_dir/<dataset>` is searched as well. No checksum was published; the sha256 of what was read is logged.

    Returns:
        A float32 table per name, and where they came from.

    Raises:
        DataError: Files are missing or corrupt.
    """
    roots = [spec.root, spec.root / spec.dataset]
    for root in roots:
        paths = [root / name for name in names]
        if all(path.is_file() for path in paths):
            for path in paths:
                report_checksum(spec.dataset, path)
            return {name: _read_file(path) for name, path in zip(names, paths, strict=True)}, str(root)
    archive_name = url.rsplit("/", 1)[-1]
    archive = find_file([archive_name], roots)
    if archive is None and not spec.download:
        raise missing(spec.dataset, names, roots, f"set data.download: true, or get {url} and put {archive_name} there")
    archive = archive or fetch(spec.dataset, [url], spec.root, None)
    report_checksum(spec.dataset, archive)
    return read_members(archive, names, lambda file, name: parse_csv(file, f"{archive}/{name}")), str(archive)


def as_classes(spec: DataSpec, x: np.ndarray, labels: np.ndarray, source: str) -> Records:
    """Records from features and published labels, which count from 1.

    Raises:
        DataError: A label is not a whole number in 1..100.
    """
    bad = (labels != np.round(labels)) | (labels < 1) | (labels > CLASSES)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{spec.dataset}: labels must be whole numbers 1..{CLASSES}, got {labels[row]:g} in row {row + 1} of "
            f"{source}; get the files again"
        )
    return Records(np.ascontiguousarray(x), labels.astype(np.int64) - 1, CLASSES, source)


def parse_csv(file: IO[bytes], where: str) -> np.ndarray:
    """A CSV file of numbers without header as float32 [rows, columns].

    Rows are parsed in blocks and moved into place one by one, so that the table is in memory only once.

    Raises:
        DataError: Rows differ in length, or a cell is empty or not a finite number.
    """
    options = csv.ReadOptions(autogenerate_column_names=True, block_size=BLOCK_BYTES, use_threads=False)
    blocks: list[np.ndarray] = []
    try:
        for batch in csv.open_csv(file, read_options=options):
            columns = [column.to_numpy(zero_copy_only=False).astype(np.float32) for column in batch.columns]
            blocks.append(np.stack(columns, axis=1))
    except (pa.ArrowInvalid, ValueError, TypeError) as error:
        raise DataError(f"{where} is corrupt ({first_line(error)}); delete it and get it again") from error
    values = np.empty((sum(len(block) for block in blocks), blocks[0].shape[1] if blocks else 0), np.float32)
    start = 0
    for index, block in enumerate(blocks):
        if not np.isfinite(block).all():
            raise DataError(f"{where} has empty or infinite cells; delete it and get it again")
        values[start : start + len(block)] = block
        start += len(block)
        blocks[index] = block[:0].copy()  # give its memory back before the next one is moved
    return values


def _read_file(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return parse_csv(file, str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); check its permissions") from error
