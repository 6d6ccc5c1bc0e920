"""Member lists: five kinds of files give the same mask, and what is not certain is refused in one line."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from raymeter.errors import DataError
from raymeter.signals.targets.members import load_members

MASK = np.array([False, True, True, False, False, True])
ROWS = np.array([5, 1, 2])


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def table(**columns):
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mask.npy", npy(MASK)),
        ("rows.npy", npy(ROWS)),
        ("rows.npz", npz(members=ROWS)),
        ("rows.txt", b"5\n\n1\r\n2"),
        ("bom.txt", b"\xef\xbb\xbf5\n1\n2\n"),
        ("rows.csv", b"row\n5\n1\n2\n"),
        ("bom.csv", b"\xef\xbb\xbfrow\n5\n1\n2\n"),
        ("both.csv", b"row,member\n5,true\n1,true\n2,true\n0,false\n"),
        ("both.parquet", table(row=[5, 1, 0, 2], member=[1, 1, 0, 1])),
        ("rows.PARQUET", table(row=ROWS)),
    ],
)
def test_every_kind_of_file_gives_the_mask(tmp_path, name, content):
    """Rows in any order, masks, and tables with and without a column of truth."""
    (tmp_path / name).write_bytes(content)
    np.testing.assert_array_equal(load_members(str(tmp_path / name), 6), MASK)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", npy(MASK[:4]), "a mask has one entry for each of the 6 records, got shape (4,)"),
        ("a.npy", npy(np.array([1, 6])), "row 6 does not exist; the dataset has rows 0 to 5"),
        ("a.npy", npy(np.array([-1])), "row -1 does not exist"),
        ("a.npy", npy(np.array([1, 2, 1])), "row 1 is named 2 times; name each member once"),
        ("a.npy", npy(MASK.astype(int)), "zeros and ones may be a mask or rows; save a mask as booleans"),
        (
            "a.npy",
            npy(ROWS.astype(float)),
            "expected a mask of true and false or a list of whole numbers, got float64 [3]",
        ),
        ("a.npy", npy(ROWS)[:-3], "cannot be read as .npy"),
        ("a.npy", npy(np.array([{}], dtype=object)), "cannot be read as .npy (it holds pickled Python objects)"),
        ("a.npz", npz(a=ROWS, b=ROWS), "has arrays a, b; save the members alone"),
        ("a.npz", b"nothing", "cannot be read as .npz"),
        ("a.txt", b"1\ntwo\n", "line 2: expected one row number, got 'two'"),
        ("a.csv", b"id\n1\n", "needs one column row and at most one column member, has id"),
        ("a.csv", b"row,member\n1,yes\n", "column member must be true or false, or 1 or 0, got 'yes'"),
        ("a.csv", b"row,member\n1,1\n1,0\n", "row 1 is named 2 times"),
        ("a.csv", b"row,member\n1,\n2,1\n", "has empty cells; fill them in"),
        ("a.csv", b"row\none\n", "column row: expected one row number, got 'one'"),
        ("a.csv", b"row\n1\n002\n", "column row: 002 has leading zeros, as an id of your own may have; give rows"),
        ("a.txt", b"1\n002\n", "line 2: 002 has leading zeros, as an id of your own may have; give rows"),
        ("a.txt", "1\n2\n".encode("utf-16"), "is written in UTF-16, or holds zero bytes; save it as UTF-8"),
        ("a.csv", "row\n1\n".encode("utf-16"), "is written in UTF-16, or holds zero bytes; save it as UTF-8"),
        ("a.csv", b"row;member\n1;1\n", "columns are separated by semicolons"),
        ("a.parquet", b"nothing", "cannot be read as .parquet"),
        ("a.pkl", b"", ".pkl is not known; give one of .npy, .npz, .txt, .csv, .parquet"),
        ("a", b"", "no suffix is not known"),
    ],
)
def test_what_is_not_certain_is_refused(tmp_path, name, content, message):
    """One line that names the key, the file and what is wrong."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        load_members(str(tmp_path / name), 6)
    assert str(error.value).startswith(f"audit.target.members: {tmp_path / name}")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_is_named(tmp_path):
    """A path that leads nowhere."""
    with pytest.raises(DataError, match=r"audit.target.members: .*no.npy cannot be read \(No such file or directory\)"):
        load_members(str(tmp_path / "no.npy"), 6)
