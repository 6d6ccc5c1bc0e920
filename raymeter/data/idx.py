"""MNIST and Fashion-MNIST: IDX files, plain or gzipped, found on disk or downloaded.

They are looked for in `data_dir`, in `data_dir/<Name>/raw` where torchvision puts them, and, for
Fashion-MNIST, where Debian's package dataset-fashion-mnist installs them.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
from torchvision.datasets import MNIST, FashionMNIST

from raymeter.data.files import fetch, find_file, missing
from raymeter.data.records import DataSpec, Records
from raymeter.errors import DataError

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
PARTS = ("train", "t10k")
HEADER = {1: b"\x00\x00\x08\x01", 3: b"\x00\x00\x08\x03"}  # unsigned bytes, by number of dimensions


def load_mnist(spec: DataSpec) -> Records:
    """70000 images uint8 [1, 28, 28], the training part before the test part."""
    return _load(spec, MNIST, [])


def load_fashion_mnist(spec: DataSpec) -> Records:
    """70000 images uint8 [1, 28, 28], the training part before the test part."""
    return _load(spec, FashionMNIST, [DEBIAN_FASHION_MNIST])


def _load(spec: DataSpec, source: type[MNIST], extra: list[Path]) -> Records:
    raw = spec.root / source.__name__ / "raw"
    folders = [spec.root, raw, *extra]
    images = [read_idx(_file(spec, source, folders, raw, f"{part}-images-idx3-ubyte"), 3) for part in PARTS]
    labels = [read_idx(_file(spec, source, folders, raw, f"{part}-labels-idx1-ubyte"), 1) for part in PARTS]
    for part, image, label in zip(PARTS, images, labels, strict=True):
        if len(image) != len(label):
            raise DataError(
                f"{spec.dataset}: the {part} part has {len(image)} images but {len(label)} labels; "
                "the files do not belong together, get them again"
            )
    return Records(np.concatenate(images)[:, None], np.concatenate(labels).astype(np.int64), 10)


def _file(spec: DataSpec, source: type[MNIST], folders: list[Path], raw: Path, name: str) -> Path:
    found = find_file([name, f"{name}.gz"], folders)
    if found is not None:
        return found
    if not spec.download:
        where = " or ".join(str(folder) for folder in folders[1:])
        raise missing(
            spec.dataset, [f"{name}.gz"], spec.root, f"nor in {where}; set data.download: true, or put it there"
        )
    md5 = dict(source.resources)[f"{name}.gz"]
    return fetch(spec.dataset, [f"{mirror}{name}.gz" for mirror in source.mirrors], raw, md5)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes (LeCun's format), plain or gzipped by its name.

    Raises:
        DataError: It is truncated, longer than its header says, or not of this kind.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is corrupt ({error}); delete it and get it again") from None
    if data[:4] != HEADER[dimensions] or len(data) < 4 + 4 * dimensions:
        raise DataError(f"{path} is not an IDX file of bytes with {dimensions} dimensions; get it again")
    shape = tuple(np.frombuffer(data, ">u4", dimensions, offset=4).astype(int))
    start, size = 4 + 4 * dimensions, int(np.prod(shape))
    if len(data) != start + size:
        raise DataError(f"{path} has {len(data)} bytes, its header says {start + size}; delete it and get it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
