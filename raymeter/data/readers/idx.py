"""IDX files (LeCun's format of MNIST), plain or gzipped, found on disk or downloaded."""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raymeter.data.download import fetch, find_file, missing
from raymeter.data.loaded_records import Records
from raymeter.errors import DataError, first_line
from raymeter.schema.dataset import DataSpec
from raymeter.schema.plain_files import file_bytes
from raymeter.storage.local_files import checksum

PARTS = ("train", "t10k")
GZIP = b"\x1f\x8b"


def load_idx(spec: DataSpec, source: str, also: Sequence[Path] = (), hint: str = "") -> Records:
    """Read the four files of an MNIST-like dataset, the training part before the test part.

    They are looked for in `data_dir/<Name>/raw` where torchvision puts them, in `data_dir` itself, and
    in the folders in `also`; what is nowhere is downloaded to the first.

    Args:
        spec: Where to look, and whether to download.
        source: Name of torchvision's dataset class, which knows mirrors and checksums.
        also: Further folders.
        hint: One more way to get the files, for the error message.

    Raises:
        DataError: A file is missing, corrupt, of another dataset, or the files do not belong together.
    """
    folders = [spec.root / source / "raw", spec.root, *also]
    images, labels, places = [], [], []
    for part in PARTS:
        files = [
            _find(spec, source, folders, f"{part}-{kind}", hint) for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        ]
        image, label = read_idx(files[0], 3), read_idx(files[1], 1)
        if len(image) != len(label):
            raise DataError(
                f"{spec.dataset}: {files[0]} has {len(image)} images but {files[1]} has {len(label)} labels; "
                "they do not belong together, get both again"
            )
        images.append(image)
        labels.append(label)
        places += [str(file) for file in files]
    if len({image.shape[1:] for image in images}) > 1:
        raise DataError(f"{spec.dataset}: training and test images differ in size; get {', '.join(places)} again")
    y = np.concatenate(labels).astype(np.int64)
    if len(y) and y.max() > 9:
        raise DataError(f"{spec.dataset}: labels must lie in 0..9, got {y.max()}; get {', '.join(places)} again")
    return Records(np.concatenate(images)[:, None], y, 10, ", ".join(places))


def _find(spec: DataSpec, source: str, folders: Sequence[Path], name: str, hint: str) -> Path:
    path = find_file([name, f"{name}.gz"], folders)
    if path is None:
        published = _published(source)
        urls = [f"{mirror}{name}.gz" for mirror in published.mirrors]
        if not spec.download:
            how = f"set data.download: true, or get {urls[0]} and put it there{hint}"
            raise missing(spec.dataset, [f"{name}.gz"], folders, how)
        return fetch(spec.dataset, urls, folders[0], dict(published.resources)[f"{name}.gz"])
    if path.parent == spec.root and path.suffix == ".gz":
        _refuse_namesake(path, source)
    return path


def _published(source: str) -> Any:
    """torchvision's dataset class; loaded only here, since that takes seconds and files on disk do not need it."""
    import torchvision.datasets

    return getattr(torchvision.datasets, source)


def _refuse_namesake(path: Path, source: str) -> None:
    """MNIST and its replacements share their file names, so one could be taken for another."""
    md5 = checksum(path, "md5")
    for other in {"MNIST", "FashionMNIST", "KMNIST"} - {source}:
        if (path.name, md5) in _published(other).resources:
            raise DataError(f"{path} belongs to {other}, not {source}; move it to {path.parent / other / 'raw'}")


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes, plain or gzipped (its first bytes say which), as an array.

    Raises:
        DataError: It is truncated, longer than its header says, or not of this kind.
    """
    start = 4 + 4 * dimensions
    try:
        raw = file_bytes(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); check its permissions") from error
    data, damage = _unpacked(raw, start)
    if data[:4] != bytes([0, 0, 8, dimensions]) or len(data) < start:
        what = f"corrupt{damage}" if damage else f"not an IDX file of bytes with {dimensions} dimensions"
        raise DataError(f"{path} is {what}; delete it and get it again")
    shape = struct.unpack(f">{dimensions}I", data[4:])
    expected = start + math.prod(shape)
    data, damage = _unpacked(raw, expected + 1)
    if len(data) != expected or damage:
        found = len(data) if raw.startswith(GZIP) else len(raw)
        more = " or more" if found > expected and raw.startswith(GZIP) else ""
        raise DataError(
            f"{path} is corrupt{damage}: expected {expected} bytes, found {found}{more}; delete it and get it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _unpacked(raw: bytes, limit: int) -> tuple[bytes, str]:
    """So many bytes of a file after decompression, as far as they can be had, and what is wrong with it if anything."""
    if not raw.startswith(GZIP):
        return raw[:limit], ""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            return file.read(limit), ""
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        damage = f" ({first_line(error)})"
    try:
        return zlib.decompressobj(wbits=31).decompress(raw, limit), damage
    except zlib.error:
        return b"", damage
