"""Parquet tables that tests write."""

from __future__ import annotations

import pyarrow as pa
from pyarrow import parquet


def write(folder, name, x, y, group=700):
    """One table of features f0, f1, ... and a label y, in row groups of a given size."""
    columns = {f"f{i}": x[:, i] for i in range(x.shape[1])} | {"y": y}
    parquet.write_table(pa.table(columns), folder / name, row_group_size=group)
