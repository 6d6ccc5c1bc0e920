"""Downloads, from a small server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, MNIST

from raymeter.data import DATASETS
from raymeter.data.datasets import purchase100
from raymeter.data.download import fetch
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, remembers what was asked for, and breaks off where the name says so."""

    def log_message(self, *args):
        self.server.asked.append(self.path)

    def do_GET(self):
        if "short" not in self.path:
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"too little")
        self.close_connection = True


@pytest.fixture
def server(tmp_path):
    """A server of `tmp_path/www`; `server.url` ends in a slash."""
    (tmp_path / "www").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=tmp_path / "www")) as http:
        http.asked, http.folder, http.url = [], tmp_path / "www", f"http://127.0.0.1:{http.server_port}/"
        thread = threading.Thread(target=http.serve_forever, args=(0.02,))
        thread.start()
        yield http
        http.shutdown()
        thread.join()


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def load(dataset, data_dir, download=True):
    return DATASETS[dataset](DataSpec(dataset, str(data_dir), None, None, None, 0, download))


@pytest.fixture
def small_mnist(server, monkeypatch):
    """MNIST of four records on the server, published there with its checksums."""
    resources = []
    for part in ("train", "t10k"):
        for kind, array in (("images-idx3", np.full((2, 3, 3), 7, np.uint8)), ("labels-idx1", np.array([1, 2], "u1"))):
            packed = gzip.compress(idx(array))
            (server.folder / f"{part}-{kind}-ubyte.gz").write_bytes(packed)
            resources.append((f"{part}-{kind}-ubyte.gz", hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(MNIST, "mirrors", [server.url])
    monkeypatch.setattr(MNIST, "resources", resources)
    return resources


def test_mnist_is_downloaded_once(small_mnist, server, tmp_path, monkeypatch):
    """A dead mirror is passed over, files land where torchvision puts them, and the next time nothing is asked for."""
    monkeypatch.setattr(MNIST, "mirrors", [f"{server.url}dead/", server.url])
    first = load("mnist", tmp_path)
    assert first.y.tolist() == [1, 2, 1, 2]
    folder = tmp_path / "MNIST" / "raw"
    assert sorted(path.name for path in folder.iterdir()) == sorted(name for name, _ in small_mnist)
    server.asked.clear()
    np.testing.assert_array_equal(load("mnist", tmp_path).x, first.x)
    assert server.asked == []


def test_mnist_without_download_asks_nobody(small_mnist, server, tmp_path):
    """download=False never touches the network and leaves no folder behind."""
    with pytest.raises(DataError, match="set data.download: true, or get http"):
        load("mnist", tmp_path / "empty", download=False)
    assert server.asked == []
    assert not (tmp_path / "empty").exists()


def test_mnist_with_a_wrong_checksum(small_mnist, server, tmp_path):
    """What is not what was published is refused and not left behind."""
    (server.folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.array([3, 4], np.uint8))))
    with pytest.raises(DataError, match="mnist: download failed .*does not have the published md5 [0-9a-f]{32}"):
        load("mnist", tmp_path)
    assert [path.name for path in (tmp_path / "MNIST" / "raw").iterdir()] == ["train-images-idx3-ubyte.gz"]


def test_mnist_that_is_not_on_the_server(small_mnist, server, tmp_path):
    """A 404 says what failed, where to put the file by hand, and leaves nothing."""
    (server.folder / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError) as error:
        load("mnist", tmp_path)
    raw = tmp_path / "MNIST" / "raw"
    assert str(error.value) == (
        f"mnist: download failed ({server.url}train-images-idx3-ubyte.gz: HTTP Error 404: File not found); "
        f"put train-images-idx3-ubyte.gz into {raw} by hand or set data.data_dir to where it is"
    )
    assert list(raw.iterdir()) == []


def test_fetch_when_nobody_answers(server, tmp_path):
    """No server at all is an error of the same kind."""
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match="x: download failed .*[Cc]onnection refused.*; put file.gz into"):
        fetch("x", [f"{server.url}file.gz"], tmp_path, "0" * 32)


@pytest.mark.parametrize("md5", [None, "0" * 32])
def test_fetch_that_breaks_off(server, tmp_path, md5):
    """A connection that closes early leaves no file, with and without a published checksum."""
    with pytest.raises(DataError, match="download failed"):
        fetch("x", [f"{server.url}short.tgz"], tmp_path / "data", md5)
    assert list((tmp_path / "data").iterdir()) == []


def test_fetch_into_a_folder_that_cannot_be(server, tmp_path):
    """Where a file stands in the way of the folder, the message says so."""
    (tmp_path / "data").write_text("")
    with pytest.raises(DataError, match="x: download failed .*File exists"):
        fetch("x", [f"{server.url}a.gz"], tmp_path / "data", None)


def test_purchase100_is_downloaded(server, tmp_path, monkeypatch):
    """The archive is kept as it came and read in place."""
    row = ",".join(["3", *["1"] * 600]) + "\n"
    with tarfile.open(server.folder / "dataset_purchase.tgz", "w:gz") as tar:
        info = tarfile.TarInfo("dataset_purchase")
        info.size = 5 * len(row)
        tar.addfile(info, io.BytesIO(row.encode() * 5))
    monkeypatch.setattr(purchase100, "URL", f"{server.url}dataset_purchase.tgz")
    records = load("purchase100", tmp_path / "data")
    assert (records.x.shape, records.y.tolist()) == ((5, 600), [2] * 5)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["dataset_purchase.tgz"]


def test_cifar10_archive_with_a_wrong_checksum(server, tmp_path, monkeypatch):
    """An archive that is not the published one is not even opened."""
    (server.folder / CIFAR10.filename).write_bytes(b"not the archive")
    monkeypatch.setattr(CIFAR10, "url", f"{server.url}{CIFAR10.filename}")
    with pytest.raises(DataError, match=f"cifar10: download failed .*published md5 {CIFAR10.tgz_md5}"):
        load("cifar10", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []
