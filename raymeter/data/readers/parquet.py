"""Parquet files, local or in a bucket: which there are, where their rows lie, and tables as arrays."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64
from pyarrow import fs as pafs
from pyarrow import parquet

from raymeter.errors import DataError, first_line
from raymeter.formats.parquet_files import refuse_bomb
from raymeter.storage.addresses import shown

LABEL_COLUMNS = ("y", "label")
# The index of pandas where its metadata is lost, in CSV files or by reset_index; and what everyone calls ids.
NO_FEATURE = re.compile(r"__index_level_\d+__|Unnamed: 0(\.\d+)?|index|level_0|_?id", re.IGNORECASE)
SUFFIXES = (".parquet", ".pq")
SAMPLED, SAMPLES, FOOTER = 4096, 16, 65_536  # bytes of a block, blocks, and bytes of the end that are sampled
OPEN_FILES = 4  # kept open by a process, with their footers


@dataclass(frozen=True)
class Version:
    """What a file is known by: size and time, and a sample of its bytes where a node may have a copy of its own."""

    size: int
    time: int
    sample: str

    @classmethod
    def of(cls, filesystem: pafs.FileSystem, entry: pafs.FileInfo) -> Version:
        """Of a file that was listed; files in buckets are the same for all nodes, and are not sampled."""
        local = isinstance(filesystem, pafs.LocalFileSystem)
        return cls(int(entry.size or 0), int(entry.mtime_ns or 0), _sample(entry.path) if local else "")

    def is_of(self, entry: pafs.FileInfo) -> bool:
        """Whether a file that was found is this one, or a copy of it as far as its sample shows."""
        if int(entry.size or 0) != self.size:
            return False
        return int(entry.mtime_ns or 0) == self.time or (self.sample != "" and _sample(entry.path) == self.sample)


@dataclass(frozen=True)
class Tables:
    """The files of a Parquet dataset in the order of their names; cheap to copy to workers.

    Args:
        uri: What the configuration said: a file or a directory, local or a URI that pyarrow.fs opens.
        files: Paths within that file system.
        versions: Of each file: one that is written anew in the middle of an audit is refused.
    """

    uri: str
    files: tuple[str, ...]
    versions: tuple[Version, ...]

    def open(self, file: int) -> parquet.ParquetFile:
        """One of the files, with its footer read.

        Raises:
            DataError: It is not there, not Parquet, or another than when it was listed; it is named.
        """
        path = self.files[file]
        try:
            return _open(self.uri, path, self.versions[file])
        except FileNotFoundError:
            raise DataError(f"{path} not found; data.path must be a place that all nodes see") from None
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read ({first_line(error)}); write it as Parquet again") from error

    @cached_property
    def groups(self) -> Int64[np.ndarray, "groups 3"]:
        """File, number within the file and rows of every row group, in order.

        Raises:
            DataError: A file has other columns than the first, or the same in another order.
        """
        groups: list[tuple[int, int, int]] = []
        names = self.open(0).schema_arrow.names
        for file in range(len(self.files)):
            self.check_columns(file, names)
            about = self.open(file).metadata
            groups += [(file, group, about.row_group(group).num_rows) for group in range(about.num_row_groups)]
        return np.array(groups, dtype=np.int64).reshape(-1, 3)

    def check_columns(self, file: int, names: list[str]) -> None:
        """See that a file has these columns in this order, which are those of the first; DataError otherwise."""
        if self.open(file).schema_arrow.names != names:
            raise DataError(f"{self.files[file]} has other columns than {self.files[0]}; write both alike")


def is_parquet(path: str) -> bool:
    """Whether a path means Parquet: by its suffix, or because it is a directory or a URI without any."""
    plain = PurePosixPath(path.partition("?")[0])
    if plain.suffix in SUFFIXES:
        return True
    return ("://" in path and not plain.suffix) or ("://" not in path and Path(path).expanduser().is_dir())


def list_tables(path: str) -> Tables:
    """The Parquet files at a path; those whose names start with _ or . do not count, as Spark and Hive have it.

    Raises:
        DataError: There are none, or the place cannot be opened.
    """
    uri = path if "://" in path else str(Path(path).expanduser().absolute())
    try:
        filesystem, root = pafs.FileSystem.from_uri(uri)
        entry = filesystem.get_file_info(root)
        if entry.type == pafs.FileType.File:
            return Tables(uri, (root,), (Version.of(filesystem, entry),))
        entries = filesystem.get_file_info(pafs.FileSelector(root, allow_not_found=True, recursive=True))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"data.path: {shown(path)} cannot be opened ({first_line(error)})") from None
    chosen = {
        entry.path: entry
        for entry in entries
        if entry.type == pafs.FileType.File
        and entry.path.endswith(SUFFIXES)
        and not any(part.startswith(("_", ".")) for part in entry.path[len(root) :].strip("/").split("/"))
    }
    if not chosen:
        remedy = "give the path of an .npz or .parquet file, or of a directory with .parquet files"
        raise DataError(
            f"data.path: {shown(path)} not found; {remedy}"
            if not entries
            else f"{shown(path)} has no .parquet; {remedy}"
        )
    try:
        versions = tuple(Version.of(filesystem, chosen[path]) for path in sorted(chosen))
    except OSError as error:
        raise DataError(f"data.path: {shown(path)} cannot be read ({error.strerror or first_line(error)})") from None
    return Tables(uri, tuple(sorted(chosen)), versions)


def _sample(path: str) -> str:
    """A hash of some bytes of a file: all of a small one, else its footer and blocks that lie evenly between."""
    with Path(path).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        digest = hashlib.sha256()
        for start in sorted({*range(0, size, max(SAMPLED, size // SAMPLES)), max(0, size - FOOTER)}):
            file.seek(start)
            digest.update(file.read(SAMPLED if start < size - FOOTER else FOOTER))
    return digest.hexdigest()


@lru_cache(maxsize=OPEN_FILES)
def _open(uri: str, path: str, version: Version) -> parquet.ParquetFile:
    filesystem, _ = pafs.FileSystem.from_uri(uri)
    entry = filesystem.get_file_info(path)
    if entry.type != pafs.FileType.NotFound and not version.is_of(entry):
        raise DataError(f"{path} has changed since the audit began; start again")
    return parquet.ParquetFile(filesystem.open_input_file(path))


def read_table(tables: Tables) -> pa.Table:
    """All rows of all files.

    Raises:
        DataError: A file cannot be read, or has other columns than the first.
    """
    parts, names = [], tables.open(0).schema_arrow.names
    for file, path in enumerate(tables.files):
        tables.check_columns(file, names)
        try:
            opened = tables.open(file)
            refuse_bomb(opened)
            parts.append(opened.read())
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read ({first_line(error)}); write it as Parquet again") from error
    try:
        return parts[0] if len(parts) == 1 else pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as error:
        raise DataError(f"{shown(tables.uri)}: the files do not fit together ({first_line(error)})") from None


@dataclass(frozen=True)
class Columns:
    """Which columns of a file are features, in file order, which is the label, and which are neither."""

    features: tuple[str, ...]
    label: str
    left_out: tuple[str, ...]


def columns_of(schema: pa.Schema, where: str) -> Columns:
    """The columns of a file by their use: an index of pandas and a column of ids are no features.

    Raises:
        DataError: There is no label, or nothing besides it.
    """
    label = next((name for name in LABEL_COLUMNS if name in schema.names), None)
    if label is None:
        raise DataError(f"{where} has columns {', '.join(schema.names[:8])}; one must be called y or label")
    others = [name for name in schema.names if name != label]
    if "x" in others and pa.types.is_nested(schema.field("x").type):
        features = ["x"]
    else:
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        features = [name for name in others if name not in index and not NO_FEATURE.fullmatch(name)]
    left_out = [name for name in others if name not in features]
    if not features:
        besides = f" ({', '.join(left_out)} is no feature)" if left_out else ""
        raise DataError(f"{where} has no feature columns{besides}; add some besides {label}")
    return Columns(tuple(features), label, tuple(left_out))


def table_labels(table: pa.Table, columns: Columns, where: str) -> np.ndarray:
    """The labels of a table: a column of numbers, NaN where one is missing, or of one-hot lists.

    Raises:
        DataError: They are not numbers, or lists are missing.
    """
    where, column = f"{where}: column {columns.label}", table[columns.label]
    if not len(table):
        return np.empty(0)
    return _stack_lists(column, where) if pa.types.is_nested(column.type) else numbers(column, where)


def table_features(table: pa.Table, columns: Columns, where: str) -> np.ndarray:
    """The records of a table: its list column x, or its feature columns next to each other; NaN where one is missing.

    Raises:
        DataError: A column is not of numbers, or its lists differ in length.
    """
    if columns.features == ("x",) and pa.types.is_nested(table["x"].type):
        return _stack_lists(table["x"], f"{where}: column x")
    return np.stack([numbers(table[name], f"{where}: column {name}") for name in columns.features], axis=1)


def numbers(column: pa.ChunkedArray, where: str) -> np.ndarray:
    """One column of numbers; NaN where one is missing."""
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"{where} must be numbers, got {kind}; encode texts and categories as numbers first")
    if column.null_count and pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
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
    return numbers(pa.chunked_array([flat]), where).reshape(shape)


def _is_fixed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind))
