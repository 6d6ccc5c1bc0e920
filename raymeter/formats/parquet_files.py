"""Parquet files of anyone's: as many rows as a footer claims are read only where the file can hold them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import parquet

UNPACKED = 2**30  # bytes of values that a table may have however small its file is
EXPANSION = 2000  # times its file's size that a larger one may have: equal values are packed far better than others
BYTES_OF_A_VALUE = 8


def read_parquet(source: Any) -> pa.Table:
    """A table from a Parquet file.

    Args:
        source: A path, or an open file, that can be sought.

    Raises:
        OSError: It cannot be read.
        pa.ArrowException: It is damaged, or claims to hold far more than its size can.
    """
    with parquet.ParquetFile(source) as file:
        refuse_bomb(file)
        return file.read()


def refuse_bomb(file: parquet.ParquetFile) -> None:
    """Raise pa.ArrowInvalid where a file would have far more values than fit into its size."""
    about = file.metadata
    groups = [about.row_group(group) for group in range(about.num_row_groups)]
    packed = sum(group.column(column).total_compressed_size for group in groups for column in range(group.num_columns))
    unpacked = about.num_rows * about.num_columns * BYTES_OF_A_VALUE
    if unpacked > max(UNPACKED, EXPANSION * packed):
        raise pa.ArrowInvalid(
            f"it says {about.num_rows:,} rows of {about.num_columns} columns, {unpacked / 2**30:.3g} GiB, and has "
            f"{packed:,} bytes; write it anew without compression"
        )
