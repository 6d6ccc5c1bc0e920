"""Purchase-100 from small files in the published layout."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import tarfile

import numpy as np
import pytest

from raymeter.data import DATASETS
from raymeter.data.readers.shokri_csv import parse_csv
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec

RNG = np.random.default_rng(0)
FEATURES = RNG.integers(0, 2, (7, 600))
LABELS = np.array([1, 2, 3, 100, 5, 1, 7])


def as_csv(table: np.ndarray) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in table.tolist()).encode()


PURCHASE = as_csv(np.column_stack([LABELS, FEATURES]))


def load(dataset, data_dir):
    return DATASETS[dataset](DataSpec(dataset, str(data_dir), None, None, None, 0, False))


def write_tar(path, **members: bytes):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_purchase100_archive(tmp_path, caplog):
    """The label comes first and counts from 1; the sha256 of the archive is reported."""
    write_tar(tmp_path / "dataset_purchase.tgz", dataset_purchase=PURCHASE)
    with caplog.at_level(logging.INFO, "raymeter.data"):
        records = load("purchase100", tmp_path)
    np.testing.assert_array_equal(records.x, FEATURES)
    np.testing.assert_array_equal(records.y, LABELS - 1)
    assert (records.x.dtype, records.y.dtype, records.num_classes) == (np.float32, np.int64, 100)
    archive = tmp_path / "dataset_purchase.tgz"
    assert f"{archive} has sha256 {hashlib.sha256(archive.read_bytes()).hexdigest()}" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["dataset_purchase.tgz"]


@pytest.mark.parametrize("folder", [".", "purchase100"])
def test_purchase100_unpacked(tmp_path, folder):
    """The unpacked file is found in data_dir and in a folder of the dataset's name."""
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "dataset_purchase").write_bytes(PURCHASE)
    np.testing.assert_array_equal(load("purchase100", tmp_path).x, FEATURES)


@pytest.mark.parametrize("dataset", ["purchase100", "texas100"])
def test_missing_files_say_where_and_how(tmp_path, dataset):
    """Nothing there and no download: the message names the folder, the address and the key."""
    with pytest.raises(DataError) as error:
        load(dataset, tmp_path)
    name = dataset.removesuffix("100")
    assert f"not found in {tmp_path} or {tmp_path / dataset} (data.data_dir)" in str(error.value)
    assert "set data.download: true" in str(error.value)
    assert f"https://www.comp.nus.edu.sg/~reza/files/dataset_{name}.tgz" in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"1,0,1\n2,1,1\n", "expected a label and 600 features in a row, got 3 columns"),
        (PURCHASE + b"1,0,1\n", "is corrupt .*Expected 601 columns, got 3"),
        (PURCHASE.replace(b"100,", b"abc,"), "is corrupt .*could not convert string to float"),
        (PURCHASE.replace(b"100,", b"101,"), r"labels must be whole numbers 1\.\.100, got 101 in row 4"),
        (PURCHASE.replace(b"100,", b"1.5,"), r"labels must be whole numbers 1\.\.100, got 1\.5 in row 4"),
        (PURCHASE.replace(b"100,", b"0,"), "got 0 in row 4"),
        (PURCHASE.replace(b"100,", b","), "has empty or infinite cells"),
        (b"", "is corrupt .*Empty CSV file"),
    ],
)
def test_corrupt_csv(tmp_path, data, message):
    """Rows of another length and cells that are no numbers are reported with the file."""
    (tmp_path / "dataset_purchase").write_bytes(data)
    with pytest.raises(DataError, match=message) as error:
        load("purchase100", tmp_path)
    assert str(tmp_path) in str(error.value)


def test_corrupt_archives(tmp_path):
    """A truncated archive, one that is none, and one without the file are told apart."""
    path = tmp_path / "dataset_purchase.tgz"
    write_tar(path, dataset_purchase=PURCHASE)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    for data in (whole[: len(whole) // 2], bytes(damaged), b"<html>404</html>", gzip.compress(b"text"), b""):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"dataset_purchase(\.tgz)?(/dataset_purchase)? is corrupt .*get it again"):
            load("purchase100", tmp_path)
    write_tar(path, readme=b"nothing here")
    with pytest.raises(DataError, match="has no file dataset_purchase; delete it"):
        load("purchase100", tmp_path)


def test_parse_csv_joins_blocks(monkeypatch):
    """Tables larger than one block come out whole and in order."""
    monkeypatch.setattr("raymeter.data.readers.shokri_csv.BLOCK_BYTES", 64)
    table = RNG.integers(0, 9, (200, 4))
    np.testing.assert_array_equal(parse_csv(io.BytesIO(as_csv(table)), "here"), table)
