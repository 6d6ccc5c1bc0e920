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
        (np.zeros((6, 2)), Y + 0.5, "got float64; number your classes"),
        (
            np.zeros((60, 2)),
            np.arange(60) / 7,
            "got float64; its 60 different values from 0 to 8.42857 look like a quantity",
        ),
        (
            np.zeros((60, 2)),
            np.arange(60) * 3,
            r"got 0\.\.177 in 60 records; its 60 different values .* numpy.digitize",
        ),
        (np.zeros((6, 2)), np.where(Y == 1, np.nan, Y), "2 of 6 records have no label"),
        (np.zeros((6, 2)), Y + 1, r"labels are 1\.\.3, so class 0 has no records; use y - 1"),
        (np.zeros((6, 2)), np.ones((6, 3)) / 3, r"y has shape \[6, 3\] and its rows are not one-hot"),
        (np.zeros((6, 2)), np.ones((6, 3), dtype=int), r"y has shape \[6, 3\] and its rows are not one-hot"),
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
    "y", [Y.astype(float), Y[:, None], np.eye(3)[Y], np.eye(3, dtype=bool)[Y], Y[:, None].astype(np.float32)]
)
def test_labels_may_be_floats_a_column_or_one_hot(y):
    """As loaders and other libraries give them; they were refused."""
    records = as_records(np.zeros((6, 2)), y, "mine")
    np.testing.assert_array_equal(records.y, Y)
    assert (records.y.dtype, records.num_classes) == (np.int64, 3)


def test_one_hot_lists_in_a_file_are_labels(tmp_path):
    """A column of lists, one for each record."""
    records = load(save_parquet(tmp_path / "a.parquet", a=np.arange(6.0), y=np.eye(3)[Y].tolist()))
    np.testing.assert_array_equal(records.y, Y)


def test_one_hot_labels_say_how_many_classes_there_are():
    """A class that no record has is one all the same."""
    assert as_records(np.zeros((6, 2)), np.eye(5)[Y], "mine").num_classes == 5
    assert as_records(np.zeros((6, 2)), Y + 1, "mine", classes=4).num_classes == 4


def test_a_class_without_records_in_between_is_told(caplog):
    """It may be one that was left out."""
    as_records(np.zeros((6, 2)), Y * 2, "mine")
    assert "mine: 2 of 5 classes have no records (1, 3): were they left out?" in caplog.text


def frame_file(path, frame, **flags):
    """A Parquet file as pandas writes it."""
    frame.to_parquet(path, **flags)
    return path


def test_an_index_of_pandas_and_ids_are_no_features(tmp_path):
    """A named index is known by the file's metadata, one that went through CSV or reset_index by its name."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [1.0] * 6, "Unnamed: 0": range(6), "id": range(6), "y": Y, "income": [2.0] * 6})
    frame.index = pandas.MultiIndex.from_arrays([[9, 3, 4, 1, 5, 2], list("abcdef")], names=["patient", None])
    records = load(frame_file(tmp_path / "a.parquet", frame))
    np.testing.assert_array_equal(records.x, [[1, 2]] * 6)
    assert records.features == ("age", "income")
    assert records.left_out == ("Unnamed: 0", "id", "patient", "__index_level_1__")
    reset = load(frame_file(tmp_path / "b.parquet", frame.reset_index(names=["patient_number", "index"])))
    assert reset.features == ("patient_number", "age", "income")  # a name of the user's own choice counts


def test_a_frame_of_the_users_own_loader_has_no_ids_either():
    """Its columns have names, as those of a file."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"ID": list("abcdef"), "age": np.arange(6.0), "index": range(6)})
    records = as_records(frame, Y, "mine")
    np.testing.assert_array_equal(records.x[:, 0], np.arange(6))
    assert (records.features, records.left_out) == (("age",), ("ID", "index"))


@pytest.mark.parametrize("name", ["Unnamed: 0.1", "level_0", "_id", "Index", "__index_level_0__"])
def test_other_names_of_an_index_are_no_features(tmp_path, name):
    """What pandas and databases call it when a file went through them twice; names that only resemble it count."""
    kept = {"level_01": np.arange(6.0), "identity": np.arange(6.0), "unnamed": np.arange(6.0)}
    records = load(save_parquet(tmp_path / "a.parquet", **{name: np.arange(6)}, **kept, y=Y))
    assert (records.features, records.left_out) == (tuple(kept), (name,))


def test_missing_values_are_counted_over_all_columns(tmp_path):
    """154 records were told as 1 missing value, that of the first column which had any."""
    a, b = [float(i) for i in range(400)], [None if i % 100 < 40 else 1.0 for i in range(400)]
    a[7], a[399] = None, float("nan")
    path = save_parquet(tmp_path / "a.parquet", b=b, a=a, y=[i % 2 for i in range(400)])
    with pytest.raises(
        DataError, match="161 of 400 records have missing or infinite values; first is record 0, column b"
    ):
        load(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1.0, 2.0]}, "has columns a; one must be called y or label"),
        ({"y": [0, 1]}, "has no feature columns; add some besides y"),
        ({"a": ["u", "v"], "y": [0, 1]}, "column a must be numbers, got string; encode texts"),
        (
            {"a": [1.0, None], "y": [0, 1]},
            "1 of 2 records have missing or infinite values; first is record 1, column a",
        ),
        ({"id": [1, 2], "y": [0, 1]}, r"has no feature columns \(id is no feature\); add some besides y"),
        ({"a": [1.0, 2.0], "y": [0, None]}, r"1 of 2 records have no label \(missing or infinite\); drop"),
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
    with pytest.raises(DataError, match=r"neither \.csv nor \.parquet nor \.npz; save x and y with numpy\.savez"):
        load(tmp_path / "a.txt")
    for name in ("b.npz", "b.parquet"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(DataError, match=f"{name} cannot be read"):
            load(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read .it has arrays x, z, and needs y"):
        load(save_npz(tmp_path / "c.npz", x=Y, z=Y))
    with pytest.raises(DataError, match="d.npz cannot be read .*save plain arrays with numpy.savez"):
        load(save_npz(tmp_path / "d.npz", x=np.array([{}] * 6, dtype=object), y=Y))


def test_truncated_npz(tmp_path):
    """A file that lost its end is reported, not half read."""
    path = save_npz(tmp_path / "a.npz", x=np.zeros((6, 200)), y=Y)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(DataError, match="cannot be read"):
        load(path)
