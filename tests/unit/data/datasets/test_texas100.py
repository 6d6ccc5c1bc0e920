"""Texas-100 from small files in the published layout; its rows are long, so this is no unit test."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest

from raymeter.data import DATASETS
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec


def load(data_dir):
    return DATASETS["texas100"](DataSpec("texas100", str(data_dir), None, None, None, 0, False))


def as_csv(table: np.ndarray) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in table.tolist()).encode()


def test_texas100_archive_and_folder(tmp_path):
    """Features and labels are two files, in the archive or beside each other."""
    feats = np.random.default_rng(0).integers(0, 2, (4, 6169))
    files = {"dataset_texas/feats": as_csv(feats), "dataset_texas/labels": b"1\n100\n3\n3\n"}
    with tarfile.open(tmp_path / "dataset_texas.tgz", "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    packed = load(tmp_path)
    (tmp_path / "dataset_texas").mkdir()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    unpacked = load(tmp_path)
    for records in (packed, unpacked):
        np.testing.assert_array_equal(records.x, feats)
        assert records.y.tolist() == [0, 99, 2, 2]
    assert packed.source.endswith("dataset_texas.tgz")


def test_texas100_lengths_must_agree(tmp_path):
    """A label file of another length is not silently cut."""
    (tmp_path / "dataset_texas").mkdir()
    (tmp_path / "dataset_texas/feats").write_bytes(as_csv(np.zeros((2, 6169), dtype=int)))
    (tmp_path / "dataset_texas/labels").write_bytes(b"1\n2\n3\n")
    with pytest.raises(DataError, match=r"equally long, got \[2, 6169\] and \[3, 1\]"):
        load(tmp_path)
