"""Parquet records that stay in their files: what is read by ranges is what is read at once."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from tables import write

from raymeter.data import load_dataset
from raymeter.data.readers import parquet as tables
from raymeter.data.readers.parquet import list_tables
from raymeter.data.readers.parquet_streamed import SMALLEST_CHUNK, beyond_memory, scan
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec

N = 5000


@pytest.fixture
def folder(tmp_path):
    """Two files of one dataset, a file that Spark would leave beside them, and a file of another kind."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(N, 5)), rng.integers(0, 3, N)
    write(tmp_path, "b.parquet", x[2000:], y[2000:], 999)
    write(tmp_path, "a.parquet", x[:2000], y[:2000])
    write(tmp_path, "_temporary.parquet", x[:1], y[:1])
    (tmp_path / "notes.txt").write_text("not data")
    return tmp_path, x.astype(np.float32), y


def spec(path, limit):
    return DataSpec("arrays", "nowhere", str(path), None, 300, 0, False, limit)


def test_directory_in_memory_is_its_files_in_the_order_of_their_names(folder):
    """Below the limit a directory is loaded like one file; hidden files and others do not count."""
    path, x, y = folder
    dataset = load_dataset(spec(path, 10**9))
    assert not dataset.is_streamed
    everything = np.concatenate([dataset.x, dataset.population_x])
    np.testing.assert_array_equal(np.sort(everything[:, 0]), np.sort(x[:, 0]))


def test_streamed_dataset_is_the_one_in_memory(folder):
    """Pool, population and labels are the same records in the same order; the fingerprint is of its own."""
    path, x, y = folder
    here, there = load_dataset(spec(path, 10**9)), load_dataset(spec(path, 10_000))
    assert there.is_streamed
    np.testing.assert_array_equal(there.x[:], here.x)
    np.testing.assert_array_equal(there.y, here.y)
    np.testing.assert_array_equal(there.population_x, here.population_x)
    assert (there.x.shape, there.x.dtype, there.num_classes) == (here.x.shape, here.x.dtype, 3)
    assert there.fingerprint != here.fingerprint
    assert there.fingerprint == load_dataset(spec(path, 10_000)).fingerprint


def test_population_beyond_the_limit_stays_in_its_files_too(folder):
    """A population is read only where it fits."""
    assert not isinstance(load_dataset(spec(folder[0], 300 * 20 - 1)).population_x, np.ndarray)


def test_indexing_reads_what_numpy_would(folder):
    """Ranges, positions in any order and twice, and subsets of subsets."""
    path, x, _ = folder
    records = scan(list_tables(str(path))).x
    for index in (slice(0, 3), slice(1990, 2710), slice(None, None, 7), slice(9, 2, -2), np.array([4999, 3, 3, 2000])):
        np.testing.assert_array_equal(records[index], x[index])
    part = records.subset(np.arange(1, N, 3))
    np.testing.assert_array_equal(part.read(100, 900), x[1::3][100:900])
    np.testing.assert_array_equal(part.subset(np.array([0, 5]))[:], x[1::3][[0, 5]])
    assert records[5:5].shape == (0, 5)


def test_chunks_cover_all_records_once_and_begin_where_row_groups_do(folder):
    """Unaligned, a chunk never begins within a row group; aligned, it begins at a multiple of a block."""
    path, _, _ = folder
    records = scan(list_tables(str(path))).x
    for align in (1, 100, 999):
        chunks = records.chunks(align)
        assert [start for start, _ in chunks] == [0, *(stop for _, stop in chunks[:-1])]
        assert chunks[-1][1] == N and all(start < stop for start, stop in chunks)
        assert all(start % align == 0 for start, _ in chunks)
    begins = {0, 700, 1400, 2000, 2999, 3998, 4997}
    most = max(SMALLEST_CHUNK, N // 16)
    assert all(
        start in begins or (start - max(b for b in begins if b <= start)) % most == 0 for start, _ in records.chunks()
    )


def test_changed_value_changes_the_fingerprint(folder):
    """Models that were trained on other data are never taken for these."""
    path, x, y = folder
    before = scan(list_tables(str(path))).x.fingerprint
    x[17, 3] += 1
    write(path, "a.parquet", x[:2000], y[:2000])
    assert scan(list_tables(str(path))).x.fingerprint != before


def test_lists_and_images(tmp_path):
    """A list column of bytes in two dimensions is images, also in pieces."""
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (600, 8, 8), dtype=np.uint8), rng.integers(0, 2, 600)
    table = pa.table({"x": x.tolist(), "y": y}).cast(
        pa.schema([("x", pa.list_(pa.list_(pa.uint8()))), ("y", pa.int64())])
    )
    parquet.write_table(table, tmp_path / "images.parquet", row_group_size=100)
    found = scan(list_tables(str(tmp_path / "images.parquet")))
    assert (found.x.shape, found.x.dtype) == ((600, 1, 8, 8), np.uint8)
    np.testing.assert_array_equal(found.x[250:350], x[250:350, None])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda x, y: (np.where(np.arange(5) == 2, np.nan, x), y),
            "5000 of 5000 records .*; first is record 0, column f2",
        ),
        (
            lambda x, y: (np.where(np.arange(N)[:, None] % 1500 == 1400, np.inf, x), y),
            "3 of 5000 records have missing or infinite values; first is record 1400, column f0",
        ),
        (lambda x, y: (x, y + 0.5), "column y|y must be whole numbers"),
        (lambda x, y: (x, np.where(np.arange(N) % 1000 == 7, np.nan, y)), "5 of 5000 records have no label"),
        (lambda x, y: (x, y + 1), r"labels are 1\.\.3, so class 0 has no records"),
        (lambda x, y: (x, y * 0), "all records have label 0"),
    ],
)
def test_what_is_wrong_with_records_is_said(tmp_path, spoil, message):
    """The same checks as for data in memory."""
    rng = np.random.default_rng(2)
    write(tmp_path, "a.parquet", *spoil(rng.normal(size=(N, 5)), rng.integers(0, 3, N)))
    with pytest.raises(DataError, match=message):
        load_dataset(spec(tmp_path, 1000))


@pytest.mark.parametrize("limit", [1000, 10**9])
@pytest.mark.parametrize("other", [["f1", "f0", "y"], ["f0", "g1", "y"], ["f0", "f1", "label"]])
def test_files_with_other_columns_are_refused(tmp_path, limit, other):
    """Streamed files with their columns in another order were once put together by position, silently."""
    x, y = np.random.default_rng(2).normal(size=(N, 2)), np.arange(N) % 2
    write(tmp_path, "a.parquet", x, y)
    parquet.write_table(pa.table([x[:, 0], x[:, 1], y], names=other), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="b.parquet has other columns than .*a.parquet; write both alike"):
        load_dataset(spec(tmp_path, limit))


def test_a_file_that_changes_in_the_middle_of_an_audit_is_refused(folder):
    """Another file of as many rows was once read as if it were the one that the audit began with."""
    path, x, y = folder
    records = scan(list_tables(str(path))).x
    tables._open.cache_clear()  # as in a worker that has not read yet
    write(path, "a.parquet", x[:2000] + 1, y[:2000])
    with pytest.raises(DataError, match="a.parquet has changed since the audit began; start again"):
        records.read(0, 10)


def test_a_copy_of_a_file_is_that_file(folder):
    """A node with a copy of its own, written at another time, was once told that the file had changed."""
    path, x, y = folder
    records = scan(list_tables(str(path))).x
    expected = records.read(0, 10)
    tables._open.cache_clear()
    for file in path.glob("*.parquet"):
        os.utime(file, (1, 1))
    np.testing.assert_array_equal(records.read(0, 10), expected)


def test_a_file_of_the_same_size_and_another_time_is_looked_into(folder):
    """One changed byte shows in small files, which are sampled whole."""
    path, x, y = folder
    records = scan(list_tables(str(path))).x
    tables._open.cache_clear()
    file = path / "a.parquet"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match="a.parquet has changed since the audit began; start again"):
        records.read(0, 10)


def test_places_without_data(tmp_path):
    """A missing path and an empty directory are told apart from data."""
    with pytest.raises(DataError, match="not found; give the path"):
        load_dataset(spec(tmp_path / "no.parquet", 1000))
    with pytest.raises(DataError, match="not found; give the path"):
        load_dataset(spec(tmp_path, 1000))
    assert beyond_memory(DataSpec("digits", "nowhere", None, None, None, 0, False, 1)) is None


def test_an_index_of_pandas_is_no_feature_of_streamed_records(tmp_path):
    """As in memory; both say which columns are features."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.default_rng(2).normal(size=(N, 3)), columns=list("abc"))
    frame["y"], frame["id"] = np.arange(N) % 2, np.arange(N)
    frame.index = pandas.Index(np.random.default_rng(3).permutation(N), name="patient")
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=900)
    here, there = load_dataset(spec(tmp_path, 10**9)), load_dataset(spec(tmp_path, 10_000))
    assert there.is_streamed
    np.testing.assert_array_equal(there.x[:], here.x)
    assert (
        here.contents
        == there.contents
        == ("3 features (a, b, c), without id, patient, which are taken for ids (rename one to make it a feature)")
    )
