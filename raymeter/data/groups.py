"""Groups of records that the user names: who is compared with whom."""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from jaxtyping import Int64

from raymeter.errors import DataError, StoreError, first_line, not_uploaded
from raymeter.formats.csv_files import read_csv
from raymeter.formats.parquet_files import read_parquet
from raymeter.formats.reading import names_in
from raymeter.schema.plain_files import file_bytes
from raymeter.storage.addresses import is_remote
from raymeter.storage.buckets import read_object


def load_groups(path: str, ids: Int64[np.ndarray, " examples"]) -> np.ndarray:
    """The group of each audited record, as text, from a CSV or Parquet file with columns id and group.

    Ids are those of records.parquet: positions in the pool. Rows of records that are not audited are
    not read.

    Raises:
        DataError: The file cannot be read, lacks a column, names a record twice or leaves one out.
    """
    try:
        table = _read(path)
    except (OSError, pa.ArrowException, StoreError) as error:
        reason, hint = getattr(error, "strerror", None) or first_line(error, ""), not_uploaded()
        raise DataError(f"audit.groups: {path} cannot be read ({reason}); give a CSV or Parquet file{hint}") from None
    doubled = next((name for name in ("id", "group") if table.column_names.count(name) > 1), None)
    if doubled:
        raise DataError(f"audit.groups: {path} has two columns {doubled!r}; leave one out")
    missing = {"id", "group"} - set(table.column_names)
    if missing:
        raise DataError(f"audit.groups: {path} has no column {sorted(missing)[0]!r}; it needs id and group")
    named = names_in(table, "id", f"audit.groups: {path}")
    if len(named) and named.dtype.kind != "i":
        raise DataError(
            f"audit.groups: {path}: ids are whole numbers, places in the pool as in records.parquet, "
            f"got {str(named[0])!r}"
        )
    texts = _cast(table, "group", pa.string(), f"audit.groups: {path}: groups are texts or numbers")
    groups = np.array(texts.to_pylist(), dtype=object)
    order = np.argsort(named, kind="stable")
    named, groups = named[order], groups[order]
    twice = np.flatnonzero(named[1:] == named[:-1])
    if twice.size:
        raise DataError(f"audit.groups: {path} names record {named[twice[0]]} twice; give each record one group")
    place = np.searchsorted(named, ids)
    has_group = (place < len(named)) & (named[np.minimum(place, len(named) - 1)] == ids) if len(named) else ids < 0
    if not has_group.all():
        raise DataError(
            f"audit.groups: {path} has no group for {int((~has_group).sum())} of {len(ids)} audited records; the first "
            f"is record {ids[np.flatnonzero(~has_group)[0]]}"
        )
    chosen = groups[place]
    empty = [row for row, group in enumerate(chosen) if not group]
    if empty:
        raise DataError(f"audit.groups: {path}: the group of record {ids[empty[0]]} is empty; name it")
    return chosen.astype(str)


def _read(path: str) -> pa.Table:
    is_parquet = PurePosixPath(path.partition("?")[0]).suffix in (".parquet", ".pq")
    data = read_object(path) if is_remote(path) else file_bytes(Path(path).expanduser())
    if data is None:
        raise FileNotFoundError("there is no such object")
    if is_parquet:
        return read_parquet(io.BytesIO(data))
    return read_csv(data, f"audit.groups: {path}", ("id", "group"))


def _cast(table: pa.Table, column: str, kind: pa.DataType, expected: str) -> pa.ChunkedArray:
    try:
        return table.column(column).cast(kind)
    except pa.ArrowException as error:
        raise DataError(f"{expected} ({first_line(error, '')})") from None
