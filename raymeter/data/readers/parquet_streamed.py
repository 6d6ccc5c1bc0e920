"""Parquet records that are never in memory as a whole: looked through once, then read by ranges.

A record's number is its position in the dataset: files in the order of their names, rows in the order of the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from raymeter.data.readers.arrays import Gaps, as_features, refuse_gaps
from raymeter.data.readers.labels import as_labels
from raymeter.data.readers.parquet import (
    Tables,
    columns_of,
    is_parquet,
    list_tables,
    table_features,
    table_labels,
)
from raymeter.errors import DataError, first_line
from raymeter.schema.dataset import DataSpec, TableChoice
from raymeter.storage.addresses import shown

LARGEST_CHUNK = 16 * 2**20  # bytes of records that are read at once
FEWEST_CHUNKS = 16  # of a small dataset, so that chunks can be shuffled
SMALLEST_CHUNK = 256  # records
BATCH_BYTES = 4 * 2**20  # bytes decoded at once

Range = tuple[int, int]


@dataclass(frozen=True, eq=False)
class ParquetRecords:
    """Some records of a Parquet dataset, in the order of the dataset; indexing reads them.

    Args:
        tables: The files.
        rows: Positions in the dataset, ascending.
        content: SHA-256 of all records of the dataset.
        record_shape: Shape of one record, as models see it.
        dtype: uint8 of images, else float32.
    """

    tables: Tables
    rows: Int64[np.ndarray, " records"]
    content: str
    record_shape: tuple[int, ...]
    dtype: np.dtype

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.record_shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def record_bytes(self) -> int:
        """Bytes of one record in memory."""
        return int(np.prod(self.record_shape)) * self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes that all of them would take in memory."""
        return len(self.rows) * self.record_bytes

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 that is equal exactly when the dataset and the choice of records are."""
        digest = hashlib.sha256(f"{self.content}{self.shape}{self.dtype.str}".encode())
        digest.update(np.ascontiguousarray(self.rows).data)
        return digest.hexdigest()

    def subset(self, positions: Int64[np.ndarray, " chosen"]) -> ParquetRecords:
        """Some of these records, by their ascending positions among them; nothing is read."""
        return replace(self, rows=np.ascontiguousarray(self.rows[positions]))

    def __getitem__(self, index: slice | Int64[np.ndarray, " chosen"]) -> np.ndarray:
        """Read a range of records, or those at some positions, in the order asked for."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return self.read(start, stop)[::step] if step > 0 else self[np.arange(start, stop, step)]
        ascending, place = np.unique(np.asarray(index), return_inverse=True)
        records: np.ndarray = self.subset(ascending).read_all()[place]
        return records

    def read(self, start: int, stop: int) -> np.ndarray:
        """The records from position `start` up to `stop`; only their stretch of the files is decoded."""
        return self.subset(np.arange(start, max(start, stop))).read_all()

    def chunks(self, align: int = 1) -> list[Range]:
        """Ranges of positions that together cover all records and are each read at once.

        A range begins where a row group does, so that no group is decoded twice; where `align` is not 1 its ends
        are moved up to multiples of that.
        """
        most = max(SMALLEST_CHUNK, int(min(LARGEST_CHUNK, self.nbytes / FEWEST_CHUNKS) / self.record_bytes))
        firsts = np.searchsorted(self.rows, self._starts)  # number of the first record of each row group
        ends = [0]
        for first, after in zip(firsts[:-1], firsts[1:], strict=True):
            if after - ends[-1] > most and first > ends[-1]:
                ends.append(int(first))
            while after - ends[-1] > most:
                ends.append(ends[-1] + most)
        ends.append(len(self))
        moved = np.unique(np.minimum(-(-np.array(ends) // align) * align, len(self))).tolist()
        return list(zip(moved[:-1], moved[1:], strict=True))

    @cached_property
    def _starts(self) -> Int64[np.ndarray, " groups_and_end"]:
        """Position in the dataset of the first row of every row group, and the number of all rows."""
        return np.concatenate([[0], np.cumsum(self.tables.groups[:, 2])]).astype(np.int64)

    def read_all(self) -> np.ndarray:
        """All of these records; only the row groups that hold any are decoded."""
        records = np.empty(self.shape, dtype=self.dtype)
        edges = np.searchsorted(self.rows, self._starts)
        for group in np.flatnonzero(np.diff(edges)):
            mine = slice(edges[group], edges[group + 1])
            records[mine] = self._read_from_group(int(group), self.rows[mine] - self._starts[group])
        return records

    def _read_from_group(self, group: int, wanted: Int64[np.ndarray, " wanted"]) -> np.ndarray:
        """Some rows of one row group, decoded by batches up to the last one."""
        parts, done = [], 0
        for x, _ in _decode(self.tables, group, self.record_bytes, labels=False):
            first, last = np.searchsorted(wanted, (done, done + len(x)))
            parts.append(x[wanted[first:last] - done])
            done += len(x)
            if done > wanted[-1]:
                return np.concatenate(parts)
        file = self.tables.files[self.tables.groups[group, 0]]
        raise DataError(f"{file} has changed since the audit began; start again")


def _decode(
    tables: Tables, group: int, record_bytes: int, labels: bool
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Records, and labels where asked for, of one row group, some megabytes at a time."""
    number, inner, _ = (int(value) for value in tables.groups[group])
    file = tables.open(number)
    where = tables.files[number]
    columns = columns_of(tables.open(0).schema_arrow, where)
    read = [*columns.features, *([columns.label] if labels else [])]
    size = max(1, BATCH_BYTES // max(1, record_bytes))
    try:
        for batch in file.iter_batches(size, row_groups=[inner], columns=read):
            table = pa.Table.from_batches([batch])
            x = as_features(table_features(table, columns, where), where)
            yield x, table_labels(table, columns, where) if labels else None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{where} cannot be read ({first_line(error)}); write it as Parquet again") from error


@dataclass(frozen=True)
class Scanned:
    """What one look through a Parquet dataset gives: all of it but the features."""

    x: ParquetRecords
    y: Int64[np.ndarray, " records"]
    num_classes: int
    source: str
    features: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()


def beyond_memory(spec: DataSpec) -> Tables | None:
    """The files of a Parquet dataset that is larger in memory than the limit; None for everything else."""
    if spec.in_memory_limit is None or spec.dataset != "arrays" or spec.path is None or not is_parquet(spec.path):
        return None
    tables = list_tables(spec.path)
    if not len(tables.groups) or not tables.groups[:, 2].any():
        return None  # what is wrong with it is said where it is read
    if spec.table != TableChoice():
        return None  # its columns are encoded in memory
    return tables if _first_record(tables).nbytes * int(tables.groups[:, 2].sum()) > spec.in_memory_limit else None


def _first_record(tables: Tables) -> np.ndarray:
    first = int(np.flatnonzero(tables.groups[:, 2])[0])
    record: np.ndarray = next(_decode(tables, first, BATCH_BYTES, labels=False))[0][0]
    return record


def scan(tables: Tables) -> Scanned:
    """Read everything once: check it, keep the labels, and take the fingerprint of the content.

    Raises:
        DataError: As for data in memory; the file is named.
    """
    digest, labels, gaps, first = hashlib.sha256(), [], Gaps(), _first_record(tables)
    for group in np.flatnonzero(tables.groups[:, 2]):
        for x, y in _decode(tables, int(group), first.nbytes, labels=True):
            assert y is not None
            if (x.shape[1:], x.dtype) != (first.shape, first.dtype):
                file = tables.files[tables.groups[group, 0]]
                raise DataError(f"{file} has records of shape {x.shape[1:]}, others {first.shape}; write all alike")
            digest.update(np.ascontiguousarray(x).data)
            digest.update(np.ascontiguousarray(y).data)
            gaps = gaps.within(x)
            labels.append(y)
    where = shown(tables.uri)
    columns = columns_of(tables.open(0).schema_arrow, where)
    refuse_gaps(gaps, where, columns.features)
    y, classes = as_labels(np.concatenate(labels), where)
    rows = np.arange(len(y), dtype=np.int64)
    records = ParquetRecords(tables, rows, digest.hexdigest(), first.shape, first.dtype)
    named = columns.features if len(columns.features) == first.size else ()
    return Scanned(records, y, classes, f"{where}, streamed", named, columns.left_out)
