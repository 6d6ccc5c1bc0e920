"""CIFAR-10 and CIFAR-100 from the published python archive, or its unpacked folder as torchvision leaves it.

The batches inside are pickles. Nothing here unpickles freely: a reader that knows only the few
types those batches are made of builds them, and refuses everything else by name.
"""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100

from raymeter.data.files import fetch, find_file, missing
from raymeter.data.records import DataSpec, Records
from raymeter.errors import DataError

BATCHES = {
    "cifar10": ([f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"], "labels", 10),
    "cifar100": (["train", "test"], "fine_labels", 100),
}


def load_cifar10(spec: DataSpec) -> Records:
    """60000 images uint8 [3, 32, 32] of 10 classes, the training part before the test part."""
    return _load(spec, "cifar10", CIFAR10)


def load_cifar100(spec: DataSpec) -> Records:
    """60000 images uint8 [3, 32, 32] of 100 classes (fine labels), the training part before the test part."""
    return _load(spec, "cifar100", CIFAR100)


def _load(spec: DataSpec, name: str, source: type[CIFAR10]) -> Records:
    names, label_key, classes = BATCHES[name]
    folders = [spec.root / source.base_folder, spec.root / name / source.base_folder]
    if all(find_file([batch], folders) for batch in names):
        blobs = {batch: (find_file([batch], folders) or Path()).read_bytes() for batch in names}
    else:
        blobs = _read_archive(_archive(spec, name, source), source.base_folder, names)
    batches = [_parse(blob, batch, label_key, classes) for batch, blob in blobs.items()]
    x = np.concatenate([images for images, _ in batches])
    return Records(x, np.concatenate([labels for _, labels in batches]), classes)


def _archive(spec: DataSpec, name: str, source: type[CIFAR10]) -> Path:
    found = find_file([source.filename], [spec.root, spec.root / name])
    if found is not None:
        return found
    if not spec.download:
        how = f"set data.download: true, or put {source.filename} or its unpacked folder {source.base_folder} there"
        raise missing(spec.dataset, [source.filename], spec.root, how)
    return fetch(spec.dataset, [source.url], spec.root, source.tgz_md5)


def _read_archive(path: Path, folder: str, names: list[str]) -> dict[str, bytes]:
    try:
        with tarfile.open(path) as archive:
            return {name: archive.extractfile(f"{folder}/{name}").read() for name in names}  # type: ignore[union-attr]
    except (tarfile.TarError, EOFError, OSError, KeyError) as error:
        raise DataError(f"{path} is corrupt or incomplete ({error}); delete it and get it again") from None


def _parse(blob: bytes, name: str, label_key: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _BatchReader(io.BytesIO(blob), encoding="latin1").load()
        images, labels = np.asarray(batch["data"]), np.asarray(batch[label_key], dtype=np.int64)
    except Exception as error:  # a damaged stream can fail in any way
        raise DataError(f"CIFAR batch {name} is corrupt ({error}); delete it and get it again") from None
    if images.dtype != np.uint8 or images.ndim != 2 or images.shape[1] != 3072 or len(images) != len(labels):
        raise DataError(
            f"CIFAR batch {name}: expected uint8 [n, 3072] with n labels, got {images.dtype} {list(images.shape)} "
            f"with {len(labels)} labels; get it again"
        )
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise DataError(f"CIFAR batch {name}: labels must lie in 0..{classes - 1}; get it again")
    return images.reshape(-1, 3, 32, 32), labels


class _BatchReader(pickle.Unpickler):
    """Builds NumPy arrays and plain containers; any other name in the stream is an error."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch contains")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
