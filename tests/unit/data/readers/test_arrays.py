"""The user's own .npz and Parquet files."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from raymeter.data import DATASETS
from raymeter.data.readers.arrays import as_records
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec

Y = np.array([0, 1, 2, 1, 0, 2])


def load(path):
    return DATASETS["arrays"](DataSpec("arrays", "nowhere", str(path) if path else None, None, None, 0, False))


def save_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def save_parquet(path, **columns):
    parquet.write_table(pa.table(columns), path)
    return path


def test_npz_features(tmp_path):
    """Numbers become float32 features, labels int64, and the classes are counted."""
    x = np.arange(12, dtype=np.float64).reshape(6, 2)
    records = load(save_npz(tmp_path / "a.npz", x=x, y=Y.astype(np.uint8)))
    assert (records.x.dtype, records.y.dtype, records.num_classes) == (np.float32, np.int64, 3)
    np.testing.assert_array_equal(records.x, x)
    np.testing.assert_array_equal(records.y, Y)
    assert records.source == str(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("given", "to_channels_first"),
    [
        ((6, 8, 8), lambda x: x[:, None]),
        ((6, 3, 8, 8), lambda x: x),
        ((6, 4, 8, 8), lambda x: x),
        ((6, 8, 8, 3), lambda x: x.transpose(0, 3, 1, 2)),
        ((6, 8, 8, 1), lambda x: x.transpose(0, 3, 1, 2)),
    ],
)
def test_npz_images(tmp_path, given, to_channels_first):
    """uint8 images stay bytes and get their channels first."""
    x = np.random.default_rng(0).integers(0, 256, given, dtype=np.uint8)
    records = load(save_npz(tmp_path / "a.npz", x=x, y=Y))
    assert records.x.dtype == np.uint8
    np.testing.assert_array_equal(records.x, to_channels_first(x))


def test_float_images_are_flattened_and_said(caplog):
    """Images in another type than uint8 become features, with a warning that tells how to keep them images."""
    records = as_records(np.zeros((6, 3, 4, 4)), Y, "a.npz")
    assert records.x.shape == (6, 48)
    assert "x is float64, not uint8, so each record is flattened to 48 features" in caplog.text


def test_parquet_columns(tmp_path):
    """Every column but the label is a feature, in file order, and the index of pandas is none."""
    path = tmp_path / "a.parquet"
    columns = {"b": [0.5] * 6, "y": Y, "a": [1, 2, 3, 4, 5, 6], "c": [True] * 6, "__index_level_0__": [9] * 6}
    records = load(save_parquet(path, **columns))
    np.testing.assert_array_equal(records.x[:2], [[0.5, 1, 1], [0.5, 2, 1]])
    np.testing.assert_array_equal(records.y, Y)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 2)], ids=str
)
def test_parquet_list_column(tmp_path, kind):
    """A list column x holds whole records; the label column may be called label."""
    x = np.arange(12.0).reshape(6, 2)
    records = load(save_parquet(tmp_path / "a.parquet", x=pa.array(x.tolist(), kind), label=Y))
    np.testing.assert_array_equal(records.x, x)


def test_parquet_nested_lists_are_images(tmp_path):
    """Nested lists of uint8 are images, as in an .npz."""
    x = np.random.default_rng(0).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    column = pa.array(x.tolist(), pa.list_(pa.list_(pa.uint8())))
    records = load(save_parquet(tmp_path / "a.parquet", x=column, y=Y))
    np.testing.assert_array_equal(records.x, x[:, None])
    assert records.x.dtype == np.uint8


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((6, 2)), Y[:5], r"expected x \[n, ...\] and y \[n\], got shapes \[6, 2\] and \[5\]"),
        (np.zeros(6), Y, r"got shapes \[6\] and \[6\]"),
        (np.zeros((0, 2)), Y[:0], r"x has shape \[0, 2\], there is nothing in it"),
        (np.zeros((6, 2)), Y.astype(str), "y must be whole numbers 0, 1, 2, ..., got <U21; number your classes"),
        (np.zeros((6, 2)), Y.astype(float), "got float64; number your classes"),
        (np.zeros((6, 2)), Y - 1, r"got -1\.\.1 in 6 records"),
        (np.zeros((6, 2)), Y * 500, r"got 0\.\.1000 in 6 records; number your classes"),
        (np.zeros((6, 2)), Y * 0, "all records have label 0; at least two classes are needed"),
        (np.full((6, 2), "a"), Y, "x must be numbers, got <U1; encode texts"),
        (np.array([[0.0], [1], [np.nan], [1], [np.inf], [1]]), Y, "2 of 6 records have missing .* first is record 2"),
        (np.full((6, 1), -1e300), Y, "record 0 has the value -1e.300, and records are float32; scale the features"),
    ],
)
def test_as_records_refuses(x, y, message):
    """Arrays that cannot be audited are refused with the reason and the remedy."""
    with pytest.raises(DataError, match=f"^mine: .*{message}"):
        as_records(x, y, "mine")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1.0, 2.0]}, "has columns a; one must be called y or label"),
        ({"y": [0, 1]}, "has no feature columns; add some besides y"),
        ({"a": ["u", "v"], "y": [0, 1]}, "column a must be numbers, got string; encode texts"),
        ({"a": [1.0, None], "y": [0, 1]}, "column a has 1 missing values; fill them in"),
        ({"a": [1.0, 2.0], "y": [0, None]}, "column y has 1 missing values"),
        ({"x": [[1.0], [1.0, 2.0]], "y": [0, 1]}, "column x has lists of different lengths"),
        ({"x": [[1.0], None], "y": [0, 1]}, "column x has lists of different lengths or missing lists"),
        ({"x": [["u"], ["v"]], "y": [0, 1]}, "column x must be numbers, got string"),
        ({"x": [{"u": 1}, {"u": 2}], "y": [0, 1]}, "column x must be lists of numbers, got struct"),
    ],
)
def test_parquet_refuses(tmp_path, columns, message):
    """A Parquet file that does not hold features and labels is refused, naming the column."""
    with pytest.raises(DataError, match=message):
        load(save_parquet(tmp_path / "a.parquet", **columns))


def test_files_that_are_not_what_they_should_be(tmp_path):
    """Missing, misnamed, damaged and pickled files are all clear errors."""
    with pytest.raises(DataError, match=r"data\.path: dataset arrays needs the path"):
        load(None)
    with pytest.raises(DataError, match=r"data\.path: .*nowhere\.npz not found; give the path"):
        load(tmp_path / "nowhere.npz")
    (tmp_path / "a.txt").write_text("1,2")
    with pytest.raises(DataError, match=r"neither \.npz nor \.parquet; save x and y with numpy\.savez"):
        load(tmp_path / "a.txt")
    for name in ("b.npz", "b.parquet"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            load(tmp_path / name)
    with pytest.raises(DataError, match="has arrays x, z; it needs x and y"):
        load(save_npz(tmp_path / "c.npz", x=Y, z=Y))
    with pytest.raises(DataError, match="d.npz cannot be read .*save plain arrays with numpy.savez"):
        load(save_npz(tmp_path / "d.npz", x=np.array([{}] * 6, dtype=object), y=Y))


def test_truncated_npz(tmp_path):
    """A file that lost its end is reported, not half read."""
    path = save_npz(tmp_path / "a.npz", x=np.zeros((6, 200)), y=Y)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match="cannot be read"):
        load(path)
