"""The real Fashion-MNIST, where Debian's package has put it."""

from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pytest

from raymeter.data import load_dataset
from raymeter.data.datasets.fashion_mnist import DEBIAN, load
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec

pytestmark = pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"


def spec(data_dir) -> DataSpec:
    return DataSpec("fashion_mnist", str(data_dir), None, 20_000, None, 0, False)


def test_fashion_mnist_is_complete_and_balanced(tmp_path):
    """70000 images, 7000 of each class, of known mean brightness (0.2860 in the training part)."""
    records = load(spec(tmp_path))
    assert (records.x.shape, records.x.dtype) == ((70_000, 1, 28, 28), np.uint8)
    assert np.bincount(records.y).tolist() == [7000] * 10
    assert np.bincount(records.y[:60_000]).tolist() == [6000] * 10
    assert records.x[:60_000].mean() / 255 == pytest.approx(0.2860, abs=5e-5)


def test_fashion_mnist_divides_into_pool_and_population(tmp_path):
    """The pool is as large as asked for, the population has its default size, and images stay bytes."""
    dataset = load_dataset(spec(tmp_path))
    assert (len(dataset.x), len(dataset.population_x), dataset.is_image) == (20_000, 10_000, True)


def test_fashion_mnist_truncated_file_in_data_dir(tmp_path):
    """A broken download in data_dir is reported, not passed over for the installed file."""
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / TRAIN_LABELS).write_bytes((DEBIAN / TRAIN_LABELS).read_bytes()[:9000])
    with pytest.raises(DataError, match="train-labels-idx1-ubyte.gz is corrupt .*expected 60008 bytes, found"):
        load(spec(tmp_path))


def test_fashion_mnist_refuses_files_of_mnist(tmp_path, monkeypatch):
    """MNIST's files have the same names; lying in data_dir itself they are told by their checksum."""
    from torchvision.datasets import MNIST

    packed = gzip.compress(gzip.decompress((DEBIAN / TRAIN_LABELS).read_bytes()), mtime=1)
    (tmp_path / TRAIN_LABELS).write_bytes(packed)
    assert len(load(spec(tmp_path)).y) == 70_000
    monkeypatch.setattr(MNIST, "resources", [(TRAIN_LABELS, hashlib.md5(packed).hexdigest())])
    with pytest.raises(DataError, match="belongs to MNIST, not FashionMNIST; move it to .*MNIST/raw"):
        load(spec(tmp_path))
