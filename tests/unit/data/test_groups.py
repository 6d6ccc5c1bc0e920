"""The user's groups: read by id, and every gap is named."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from raymeter.data.groups import load_groups
from raymeter.errors import DataError

IDS = np.array([3, 5, 9])


def test_groups_are_found_by_id_in_any_order(tmp_path):
    """Rows may stand anywhere, numbers become text, and other records are passed over."""
    path = tmp_path / "groups.csv"
    path.write_text("group,id,note\n2,9,x\n1,3,x\n7,4,x\n1,5,x\n")
    assert load_groups(str(path), IDS).tolist() == ["1", "1", "2"]
    table = pa.table({"id": pa.array([5, 3, 9], pa.int32()), "group": ["b", "a", "c"]})
    parquet.write_table(table, tmp_path / "groups.parquet")
    assert load_groups(str(tmp_path / "groups.parquet"), IDS).tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,group\n3,a\n5,b\n", "has no group for 1 of 3 audited records; the first is record 9"),
        ("id,group\n3,a\n5,b\n9,c\n5,d\n", "names record 5 twice"),
        ("id,sex\n3,a\n", "has no column 'group'; it needs id and group"),
        ("id,group\nx,a\n", "ids are whole numbers, places in the pool as in records.parquet, got 'x'"),
        ("id,group\n03,a\n05,b\n09,c\n", "ids are whole numbers, places in the pool as in records.parquet, got '03'"),
        ("id;group\n3;a\n", "columns are separated by semicolons"),
        ("id,group\n", "has no group for 3 of 3"),
        ("", "cannot be read"),
        ("id,group,group\n3,a,a\n", "has two columns 'group'; leave one out"),
        ("id,id,group\n3,3,a\n", "has two columns 'id'; leave one out"),
        ("id,group\n3,a\n5,\n9,c\n", "the group of record 5 is empty"),
    ],
)
def test_groups_that_do_not_fit_are_named(tmp_path, text, message):
    """One line says what is missing, twice there or unreadable."""
    path = tmp_path / "groups.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        load_groups(str(path), IDS)


def test_a_missing_file_of_groups_is_named(tmp_path):
    """The path is in the message."""
    with pytest.raises(DataError, match="nothing.csv cannot be read"):
        load_groups(str(tmp_path / "nothing.csv"), IDS)


def test_an_empty_group_is_named(tmp_path):
    """A missing value is no group."""
    path = tmp_path / "groups.parquet"
    parquet.write_table(pa.table({"id": [3, 5, 9], "group": ["a", None, "c"]}), path)
    with pytest.raises(DataError, match="the group of record 5 is empty"):
        load_groups(str(path), IDS)


def test_groups_keep_their_zeros(tmp_path):
    """Department 07 was called 7, and 07 and 7 were one group."""
    path = tmp_path / "groups.csv"
    path.write_text("id,group\n3,07\n5,7\n9,07\n")
    assert load_groups(str(path), IDS).tolist() == ["07", "7", "07"]
