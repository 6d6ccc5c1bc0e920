"""Tables as people have them, column by column."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from raymeter.data import load_dataset
from raymeter.data.readers import arrays
from raymeter.data.readers.tables import encode
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec, TableChoice

N = 40
LABEL = [["<=50K", ">50K"][i % 2] for i in range(N)]


BY_NAME, NOTHING = TableChoice(label="income"), TableChoice()


def encoded(choice: TableChoice = BY_NAME, **columns):
    """The records of a table of these columns, a label among them."""
    return encode(pa.table({**columns, "income": LABEL}), choice, "t")


def spec(path, choice=NOTHING, limit=None) -> DataSpec:
    return DataSpec("arrays", "data", str(path), None, None, 0, False, limit, choice)


def test_numbers_truth_values_and_dates_are_a_column_each():
    """Dates become days since 1970, also with a time of day."""
    days = [datetime.date(1970, 1, 2), datetime.date(2000, 1, 1)] * (N // 2)
    times = [datetime.datetime(1970, 1, 1, 12), datetime.datetime(1969, 12, 31)] * (N // 2)
    records = encoded(a=list(range(N)), b=[True, False] * (N // 2), c=days, d=times)
    assert records.features == ("a", "b", "c", "d")
    np.testing.assert_array_equal(records.x[:2], [[0, 1, 1, 0.5], [1, 0, 10957, -1]])
    assert records.x.dtype == np.float32
    assert records.encoded == (
        "label income: <=50K is 0, >50K is 1",
        "b: 0 and 1",
        "c: days since 1970",
        "d: days since 1970",
    )


def test_texts_are_a_column_for_each_category_in_the_order_of_their_names():
    """Spaces around them do not count; a gap is none of them."""
    records = encoded(a=["b", " a", None, ""] * (N // 4))
    assert records.features == ("a=a", "a=b")
    np.testing.assert_array_equal(records.x[:4], [[0, 1], [1, 0], [0, 0], [0, 0]])
    assert records.encoded[1] == "a: 2 categories, a column each, 20 gaps"


def test_many_categories_are_one_column_of_numbers():
    """More than 32 of them, each in several rows."""
    table = pa.table({"a": [f"c{i % 40:02d}" for i in range(200)], "y": [i % 2 for i in range(200)]})
    records = encode(table, TableChoice(), "t")
    np.testing.assert_array_equal(records.x[:, 0], np.arange(200) % 40)
    assert records.encoded == ("a: 40 categories, numbered by name",)


def test_gaps_stay_gaps_and_have_a_column_that_says_where():
    """They are filled by each model from its own members."""
    records = encoded(a=[1.0, None, 3.0, float("nan")] * (N // 4))
    assert records.features == ("a", "a is missing")
    np.testing.assert_array_equal(records.x[:4], [[1, 0], [np.nan, 1], [3, 0], [np.nan, 1]])
    assert records.encoded[1] == "a: 20 gaps"


def test_columns_are_left_out_as_they_are_named():
    """Ids by their usual names or by data.id, others by data.drop; an empty column by itself."""
    columns = {"id": list(range(N)), "a": [1.0] * N, "b": [2.0] * N, "c": pa.nulls(N)}
    assert encoded(**columns).features == ("a", "b")
    records = encoded(TableChoice("income", "b", ("a",)), **columns)
    assert records.features == ("id",) and records.left_out == ("a", "b")
    assert records.encoded[1] == "c: empty, left out"


def test_numbers_can_be_named_as_categories():
    """A postal code is no quantity; dictionaries are categories anyway."""
    kinds = pa.array(["x", "y"] * (N // 2)).dictionary_encode()
    records = encoded(TableChoice("income", categorical=("zip",)), zip=[100, 200] * (N // 2), kind=kinds)
    assert records.features == ("zip=100", "zip=200", "kind=x", "kind=y")


def test_all_wrong_columns_are_in_one_line():
    """With what is wrong about each, and what to do."""
    with pytest.raises(DataError) as error:
        encoded(name=[f"person {i}" for i in range(N)], many=[[1]] * N, far=[1e300] * N, never=[float("inf")] * N)
    assert str(error.value) == (
        "t: 4 columns cannot be features: name (40 different texts in 40 rows: ids or free text?); many (list<item: "
        "int64>); far (values beyond float32); never (40 infinite values); name them in data.drop, or turn them into "
        "numbers or categories"
    )


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (TableChoice("incom"), "data.label: t has no column 'incom'; did you mean income? known are a, income"),
        (TableChoice("income", drop=("b",)), "data.drop: t has no column 'b'; known are a, income"),
        (TableChoice("income", "A"), "data.id: t has no column 'A'; "),
        (TableChoice(), "t has columns a, income; say which is the label with data.label, or call it y"),
        (TableChoice("income", drop=("a",)), "t has no feature columns besides income; add some"),
    ],
)
def test_columns_that_are_not_there_are_named(choice, message):
    """With the closest one."""
    with pytest.raises(DataError) as error:
        encoded(choice, a=[1.0] * N)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([None, *LABEL[1:]], "t: 1 of 40 records have no income; drop these records"),
        (["same"] * N, "t: all records have the income 'same'; at least two classes are needed"),
        ([f"text {i}" for i in range(N)], "t: income has 40 different texts in 40 rows; name the label"),
        ([float(i) + 0.5 for i in range(N)], "t: income: y must be whole numbers"),
        (
            [datetime.date(2000, 1, 1)] * N,
            r"t: income is date32\[day\]; a label is a text, a truth value or a whole number",
        ),
    ],
)
def test_labels_that_are_no_classes_are_refused(label, message):
    """One line each."""
    with pytest.raises(DataError, match=message):
        encode(pa.table({"a": [1.0] * N, "income": label}), TableChoice("income"), "t")


def test_a_csv_file_and_a_parquet_file_give_the_same_records(tmp_path):
    """Types that CSV shows, gaps and texts."""
    csv = "a,b,d,income\n" + "".join(
        f"{i},{'xy'[i % 2] if i else ''},2000-01-{1 + i % 28:02d},{LABEL[i]}\n" for i in range(N)
    )
    (tmp_path / "t.csv").write_text(csv)
    days = [datetime.date(2000, 1, 1 + i % 28) for i in range(N)]
    table = pa.table({"a": range(N), "b": [None, *["xy"[i % 2] for i in range(1, N)]], "d": days, "income": LABEL})
    parquet.write_table(table, tmp_path / "t.parquet")
    choice = TableChoice(label="income")
    found = [arrays.load(spec(tmp_path / name, choice)) for name in ("t.csv", "t.parquet")]
    np.testing.assert_array_equal(found[0].x, found[1].x)
    assert found[0].features == found[1].features == ("a", "b=x", "b=y", "d") and found[0].encoded == found[1].encoded


def test_a_parquet_file_of_which_nothing_is_said_is_taken_as_it_was(tmp_path):
    """Numbers as they are, nothing encoded; where something is said, it is not streamed."""
    parquet.write_table(pa.table({"a": np.arange(N, dtype=np.float32), "y": np.arange(N) % 2}), tmp_path / "t.parquet")
    plain = arrays.load(spec(tmp_path / "t.parquet"))
    assert plain.encoded == () and plain.x.shape == (N, 1)
    dataset = load_dataset(spec(tmp_path / "t.parquet", TableChoice(label="y"), limit=1))
    assert not dataset.is_streamed and "1 features (a)" in dataset.contents
