"""CIFAR from small batches written the way the published ones were, and the unpickler's refusals."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from raymeter.data import DATASETS
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec

NAMES = {"cifar10": [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"], "cifar100": ["train", "test"]}
FOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


def python2_batch(images: np.ndarray, key: bytes, labels: list[int]) -> bytes:
    """A batch as Python 2 and an old NumPy pickled it: byte strings, numpy.core, integer dtype flags."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        + b"(K\x01K" + bytes([len(images)]) + b"M" + struct.pack("<H", images.shape[1]) + b"\x86"
        + b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<I", images.size) + images.tobytes() + b"tb"
    )  # fmt: skip
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U" + bytes([len(key)]) + key + numbers + b"u."


def batches(dataset: str) -> tuple[dict[str, bytes], np.ndarray, list[int]]:
    """Every batch with three records; all images in order; all labels."""
    rng = np.random.default_rng(0)
    key = b"labels" if dataset == "cifar10" else b"fine_labels"
    blobs, images, labels = {}, [], []
    for name in NAMES[dataset]:
        images.append(rng.integers(0, 256, (3, 3072), dtype=np.uint8))
        labels.append(rng.integers(0, 10, 3).tolist())
        blobs[name] = python2_batch(images[-1], key, labels[-1])
    return blobs, np.concatenate(images).reshape(-1, 3, 32, 32), sum(labels, [])


def unpack(folder, blobs):
    folder.mkdir(parents=True, exist_ok=True)
    for name, blob in blobs.items():
        (folder / name).write_bytes(blob)


def pack(path, folder, blobs):
    with tarfile.open(path, "w:gz") as tar:
        for name, blob in blobs.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(blob)
            tar.addfile(info, io.BytesIO(blob))


def load(dataset, data_dir):
    return DATASETS[dataset](DataSpec(dataset, str(data_dir), None, None, None, 0, False))


@pytest.mark.parametrize("dataset", NAMES)
@pytest.mark.parametrize("archived", [False, True])
def test_cifar_small_batches(tmp_path, dataset, archived):
    """Folder and archive give the same images, channels first and in the order of the batches."""
    blobs, images, labels = batches(dataset)
    if archived:
        pack(tmp_path / f"{FOLDERS[dataset].replace('batches-py', 'python')}.tar.gz", FOLDERS[dataset], blobs)
    else:
        unpack(tmp_path / FOLDERS[dataset], blobs)
    records = load(dataset, tmp_path)
    np.testing.assert_array_equal(records.x, images)
    assert records.y.tolist() == labels
    assert (records.x.dtype, records.y.dtype) == (np.uint8, np.int64)
    assert records.num_classes == {"cifar10": 10, "cifar100": 100}[dataset]


def test_cifar_reads_batches_of_todays_pickle(tmp_path):
    """Batches written with today's Python and NumPy are read too, and said not to be the published ones."""
    blobs, images, _ = batches("cifar10")
    for i, name in enumerate(NAMES["cifar10"]):
        own = {"data": images[3 * i : 3 * i + 3].reshape(3, 3072), "labels": [1, 2, 3]}
        blobs[name] = pickle.dumps(own, protocol=2 + i % 3)
    unpack(tmp_path / FOLDERS["cifar10"], blobs)
    np.testing.assert_array_equal(load("cifar10", tmp_path).x, images)


def test_cifar_says_that_batches_are_not_the_published_ones(tmp_path, caplog):
    """A batch of another size is somebody's own, and the log says so."""
    unpack(tmp_path / FOLDERS["cifar10"], batches("cifar10")[0])
    load("cifar10", tmp_path)
    assert "test_batch has 3 records, which is not the published batch" in caplog.text


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_cifar_never_runs_code(tmp_path, protocol):
    """A pickle that would run a command is refused by the name it asks for, and nothing runs."""

    class Bomb:
        def __reduce__(self):
            return open, (str(tmp_path / "boom"), "w")

    blobs, _, _ = batches("cifar10")
    blobs["data_batch_2"] = pickle.dumps({"data": Bomb(), "labels": []}, protocol=protocol)
    unpack(tmp_path / FOLDERS["cifar10"], blobs)
    with pytest.raises(DataError, match=r"data_batch_2 is corrupt \(it asks for \S+\.open, which no CIFAR batch"):
        load("cifar10", tmp_path)
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"", "data_batch_3 is corrupt .*delete it and get it again"),
        (b"garbage", "data_batch_3 is corrupt"),
        (batches("cifar10")[0]["data_batch_3"][:-50], "data_batch_3 is corrupt"),
        (pickle.dumps([1, 2]), "data_batch_3 is corrupt"),
        (pickle.dumps({"labels": [1]}), r"data_batch_3 is corrupt \('data'\)"),
        (pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}), r"expected uint8 \[n, 3072\] with n"),
        (pickle.dumps({"data": np.zeros((1, 3072)), "labels": [1]}), r"got float64 \[1, 3072\]"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}), r"labels must lie in 0\.\.9, got 10"),
    ],
)
def test_cifar_corrupt_batches(tmp_path, blob, message):
    """Whatever is wrong with a batch, its path and the remedy are in one line."""
    unpack(tmp_path / FOLDERS["cifar10"], {**batches("cifar10")[0], "data_batch_3": blob})
    with pytest.raises(DataError, match=message) as error:
        load("cifar10", tmp_path)
    assert str(tmp_path / FOLDERS["cifar10"] / "data_batch_3") in str(error.value)
    assert "\n" not in str(error.value)


def test_cifar_published_batches_must_have_the_published_checksum(tmp_path, monkeypatch):
    """A batch of the published size with another checksum is damaged; with the right one it is fine."""
    blobs, images, _ = batches("cifar100")
    full = {"data": np.zeros((10_000, 3072), np.uint8), "fine_labels": [0] * 10_000}
    blobs["test"] = pickle.dumps(full, protocol=2)
    unpack(tmp_path / FOLDERS["cifar100"], blobs)
    with pytest.raises(DataError, match="test has md5 [0-9a-f]{32}, published is f0ef6b0a.*; delete it and get it"):
        load("cifar100", tmp_path)
    md5 = hashlib.md5(blobs["test"]).hexdigest()
    monkeypatch.setattr(CIFAR100, "test_list", [["test", md5]])
    assert len(load("cifar100", tmp_path).y) == 10_003


def test_cifar_archive_lacks_a_batch(tmp_path):
    """An incomplete archive is refused, naming what is missing."""
    blobs, _, _ = batches("cifar10")
    del blobs["data_batch_4"]
    pack(tmp_path / CIFAR10.filename, FOLDERS["cifar10"], blobs)
    with pytest.raises(DataError, match="has no file cifar-10-batches-py/data_batch_4; delete it"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("dataset", NAMES)
def test_cifar_missing(tmp_path, dataset):
    """Nothing there: the message names folder, archive, address and key."""
    with pytest.raises(DataError) as error:
        load(dataset, tmp_path)
    text = str(error.value)
    assert f"not found in {tmp_path} or {tmp_path / dataset} (data.data_dir); set data.download: true" in text
    assert "https://www.cs.toronto.edu/~kriz/cifar-10" in text
    assert FOLDERS[dataset] in text
