"""Who a target's members are: masks and lists of rows from plain arrays and tables, checked, never guessed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from raymeter.errors import DataError, first_line
from raymeter.formats.csv_files import WHOLE_NUMBER, plain_text, read_csv
from raymeter.formats.parquet_files import read_parquet
from raymeter.formats.reading import names_in
from raymeter.schema.array_files import array_of, arrays_in
from raymeter.storage.addresses import shown
from raymeter.storage.user_files import content_of

MEMBERS_KEY = "audit.target.members"


def load_members(path: str, total: int) -> Bool[np.ndarray, " total"]:
    """Whether the target was trained on each record of the dataset, in the order of its files.

    A .npy, or an .npz with one array, is a mask of booleans or a list of rows; a .txt has one row number per line;
    a .csv or .parquet has a column `row`, and lists members only unless a column `member` says which are.

    Raises:
        DataError: The file cannot be read, or a row is named twice, does not exist, or is not a whole number.
    """
    name = f"{MEMBERS_KEY}: {shown(path)}"
    suffix = PurePosixPath(shown(path)).suffix.lower()
    if suffix not in _READERS:
        raise DataError(f"{name}: {suffix or 'no suffix'} is not known; give one of {', '.join(_READERS)}")
    data = content_of(path, MEMBERS_KEY)
    try:
        members = _READERS[suffix](data)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = first_line(error, "")
        raise DataError(f"{name} cannot be read as {suffix} ({reason}); write it anew") from None
    if members.dtype == np.bool_:
        if members.shape != (total,):
            raise DataError(f"{name}: a mask has one entry for each of the {total} records, got shape {members.shape}")
        return members
    return _mask(members, total, name)


def _mask(rows: np.ndarray, total: int, name: str) -> Bool[np.ndarray, " total"]:
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise DataError(
            f"{name}: expected a mask of true and false or a list of whole numbers, got {rows.dtype} {list(rows.shape)}"
        )
    outside = rows[(rows < 0) | (rows >= total)]
    if len(outside):
        raise DataError(f"{name}: row {outside[0]} does not exist; the dataset has rows 0 to {total - 1}")
    if len(rows) == total and set(np.unique(rows)) <= {0, 1} and total > 2:
        raise DataError(f"{name}: zeros and ones may be a mask or rows; save a mask as booleans (mask.astype(bool))")
    known, count = np.unique(rows, return_counts=True)
    if (count > 1).any():
        raise DataError(f"{name}: row {known[count > 1][0]} is named {count.max()} times; name each member once")
    member = np.zeros(total, dtype=bool)
    member[rows] = True
    return member


def _from_npy(data: bytes) -> np.ndarray:
    return array_of(io.BytesIO(data))


def _from_npz(data: bytes) -> np.ndarray:
    arrays = arrays_in(data)
    if len(arrays) != 1:
        raise DataError(f"has arrays {', '.join(arrays) or 'none'}; save the members alone")
    return next(iter(arrays.values()))


def _from_txt(data: bytes) -> np.ndarray:
    lines = [line.strip() for line in plain_text(data, "the file").decode().splitlines()]
    wrong = [(number, line) for number, line in enumerate(lines, 1) if line and not re.fullmatch(WHOLE_NUMBER, line)]
    if wrong:
        raise DataError(f"line {wrong[0][0]}: {_no_row(wrong[0][1])}")
    return np.array([int(line) for line in lines if line], dtype=np.int64)


def _from_table(table: pa.Table) -> np.ndarray:
    names = table.column_names
    if names.count("row") != 1 or names.count("member") > 1:
        raise DataError(f"needs one column row and at most one column member, has {', '.join(names)}")
    if any(table.column(name).null_count for name in ("row", "member") if name in names):
        raise DataError("has empty cells; fill them in")
    rows: np.ndarray = names_in(table, "row", "the table")
    if rows.dtype.kind != "i":
        odd = next((row for row in rows if not re.fullmatch(WHOLE_NUMBER, row)), rows[0])
        raise DataError(f"column row: {_no_row(odd)}")
    if "member" not in names:
        return rows
    member = table.column("member")
    if not pa.types.is_boolean(member.type) and not set(member.to_pylist()) <= {0, 1}:
        raise DataError(f"column member must be true or false, or 1 or 0, got {member[0].as_py()!r}")
    known, count = np.unique(rows, return_counts=True)
    if (count > 1).any():
        raise DataError(f"row {known[count > 1][0]} is named {count.max()} times; name each record once")
    members: np.ndarray = rows[np.array(member.to_pylist(), dtype=bool)]
    return members


def _no_row(text: str) -> str:
    """What is wrong with a text that should be the number of a row."""
    if text.isdecimal():  # 007
        return f"{text} has leading zeros, as an id of your own may have; give rows of the dataset, 0, 1, 2, ..."
    return f"expected one row number, got {text[:40]!r}"


_READERS: dict[str, Callable[[bytes], np.ndarray]] = {
    ".npy": _from_npy,
    ".npz": _from_npz,
    ".txt": _from_txt,
    ".csv": lambda data: _from_table(read_csv(data, "the file", ("row",))),
    ".parquet": lambda data: _from_table(read_parquet(io.BytesIO(data))),
}
