"""IDX files, and the two datasets made of them."""

from __future__ import annotations

import gzip
import struct
import tracemalloc

import numpy as np
import pytest

from raymeter.data import DATASETS
from raymeter.data.readers.idx import read_idx
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec

RNG = np.random.default_rng(0)
IMAGES = {"train": RNG.integers(0, 256, (5, 4, 4), dtype=np.uint8), "t10k": RNG.integers(0, 256, (3, 4, 4), np.uint8)}
LABELS = {"train": np.array([0, 1, 9, 3, 4], np.uint8), "t10k": np.array([5, 6, 7], np.uint8)}


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_dataset(folder, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for part in IMAGES:
        for name, array in (("images-idx3", IMAGES[part]), ("labels-idx1", LABELS[part])):
            data = idx(array)
            (folder / f"{part}-{name}-ubyte{suffix}").write_bytes(gzip.compress(data) if suffix else data)


def load(dataset, data_dir):
    return DATASETS[dataset](DataSpec(dataset, str(data_dir), None, None, None, 0, False))


@pytest.fixture(autouse=True)
def no_installed_files(monkeypatch, tmp_path):
    """Fashion-MNIST may be installed on this machine; these tests are about small files."""
    monkeypatch.setattr("raymeter.data.datasets.fashion_mnist.DEBIAN", tmp_path / "not-installed")


def test_a_gzipped_file_is_unpacked_as_far_as_its_header_says(tmp_path):
    """One that goes on for gigabytes takes no memory for them."""
    packed = gzip.compress(idx(IMAGES["train"]) + bytes(2**26))
    (tmp_path / "long.gz").write_bytes(packed)
    tracemalloc.start()
    with pytest.raises(
        DataError, match="long.gz is corrupt: expected 96 bytes, found 97 or more; delete it and get it again"
    ):
        read_idx(tmp_path / "long.gz", 3)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(("dataset", "name"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_idx_dataset_in_torchvisions_folder(tmp_path, dataset, name, suffix):
    """Images keep their bytes and get a channel; the training part comes first."""
    write_dataset(tmp_path / name / "raw", suffix)
    records = load(dataset, tmp_path)
    np.testing.assert_array_equal(records.x, np.concatenate([IMAGES["train"], IMAGES["t10k"]])[:, None])
    assert (records.x.dtype, records.y.dtype, records.num_classes) == (np.uint8, np.int64, 10)
    assert records.y.tolist() == [0, 1, 9, 3, 4, 5, 6, 7]
    assert str(tmp_path / name / "raw" / "t10k-labels-idx1-ubyte") in records.source


def test_fashion_mnist_from_debians_folder(tmp_path, monkeypatch):
    """The package's folder is searched besides data_dir."""
    write_dataset(tmp_path / "usr")
    monkeypatch.setattr("raymeter.data.datasets.fashion_mnist.DEBIAN", tmp_path / "usr")
    assert len(load("fashion_mnist", tmp_path / "nowhere").y) == 8


def test_idx_own_folder_wins_over_data_dir(tmp_path):
    """Both datasets may have their files under one data_dir without being mixed up."""
    write_dataset(tmp_path, "")
    write_dataset(tmp_path / "FashionMNIST" / "raw")
    assert "FashionMNIST" in load("fashion_mnist", tmp_path).source
    assert "FashionMNIST" not in load("mnist", tmp_path).source


def test_read_idx_truncated_gzip(tmp_path):
    """A download that broke off names the file, both sizes and what to do."""
    path = tmp_path / "train-images-idx3-ubyte.gz"
    images = RNG.integers(0, 256, (50, 28, 28), dtype=np.uint8)
    path.write_bytes(gzip.compress(idx(images))[:20_000])
    with pytest.raises(DataError) as error:
        read_idx(path, 3)
    assert str(error.value).startswith(f"{path} is corrupt (Compressed file ended before")
    assert "expected 39216 bytes, found " in str(error.value)
    assert str(error.value).endswith("; delete it and get it again")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (idx(LABELS["train"])[:-1], "is corrupt: expected 13 bytes, found 12; delete it and get it again"),
        (idx(LABELS["train"]) + b"0", "is corrupt: expected 13 bytes, found 14"),
        (idx(IMAGES["train"]), "is not an IDX file of bytes with 1 dimensions; delete it"),
        (b"\0\0\x0d\1\0\0\0\0", "is not an IDX file of bytes with 1 dimensions"),
        (b"\0\0\x08\1\0", "is not an IDX file of bytes with 1 dimensions"),
        (b"<html>not found</html>", "is not an IDX file"),
        (b"", "is not an IDX file"),
        (b"\x1f\x8bnonsense", r"is corrupt \(.*\); delete it"),
        (b"\0\0\x08\1\xff\xff\xff\xff", "expected 4294967303 bytes, found 8"),
    ],
)
def test_read_idx_refuses(tmp_path, data, message):
    """Files of another kind or length are refused by name."""
    (tmp_path / "labels").write_bytes(data)
    with pytest.raises(DataError, match=message) as error:
        read_idx(tmp_path / "labels", 1)
    assert str(tmp_path / "labels") in str(error.value)


def test_read_idx_checks_gzips_own_checksum(tmp_path):
    """A gzipped file of the right length with one wrong byte is corrupt."""
    packed = bytearray(gzip.compress(idx(IMAGES["train"]), compresslevel=0))
    packed[-20] ^= 1
    (tmp_path / "images.gz").write_bytes(packed)
    with pytest.raises(DataError, match=r"is corrupt \(CRC check failed"):
        read_idx(tmp_path / "images.gz", 3)


def test_idx_files_of_different_datasets(tmp_path):
    """Images and labels that do not belong together are refused."""
    write_dataset(tmp_path, "")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS["t10k"]))
    with pytest.raises(DataError, match="has 5 images but .* has 3 labels; they do not belong together"):
        load("mnist", tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(LABELS["train"] + 1))
    with pytest.raises(DataError, match=r"labels must lie in 0\.\.9, got 10"):
        load("mnist", tmp_path)
