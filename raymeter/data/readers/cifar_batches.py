"""Reads the published python batches of CIFAR without unpickling freely.

The batches are pickles, and a pickle can run any code. `_BatchReader` builds NumPy arrays and plain
containers and refuses every other name in the stream, so a batch from anywhere is safe to read.
Checksums are a matter of integrity, then: archives are downloaded with torchvision's checksum, and a
batch with as many records as the published one must have its published checksum too. Batches of
another size are somebody's own (a subset, a test) and are read as they are.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from typing import Any

import numpy as np

from raymeter.data.download import fetch, find_file, log, missing, read_members
from raymeter.data.loaded_records import Records
from raymeter.errors import DataError, first_line
from raymeter.schema.dataset import DataSpec

PIXELS = 3 * 32 * 32


def load_cifar(spec: DataSpec, source: str, label_key: str, classes: int) -> Records:
    """Read all batches, the training part before the test part.

    They are looked for unpacked in `data_dir/<folder>` as torchvision leaves them, then in the published
    archive in `data_dir`; `data_dir/<dataset>` is searched as well. What is nowhere is downloaded.

    Args:
        spec: Where to look, and whether to download.
        source: Name of torchvision's dataset class, which knows names, address and checksums.
        label_key: Key of the labels in a batch.
        classes: Number of classes.

    Raises:
        DataError: A batch is missing, corrupt, or not what was published under its name.
    """
    import torchvision.datasets  # slow to load

    published = getattr(torchvision.datasets, source)
    checksums = dict(published.train_list + published.test_list)
    blobs, where = _read_batches(spec, published, list(checksums))
    batches = [_parse(blobs[name], f"{where}/{name}", label_key, classes) for name in checksums]
    for (name, md5), (_, labels) in zip(checksums.items(), batches, strict=True):
        _check_published(blobs[name], name, where, md5, len(labels))
    x = np.concatenate([images for images, _ in batches])
    return Records(x, np.concatenate([labels for _, labels in batches]), classes, where)


def _read_batches(spec: DataSpec, published: Any, names: list[str]) -> tuple[dict[str, bytes], str]:
    roots = [spec.root, spec.root / spec.dataset]
    for folder in [root / published.base_folder for root in roots]:
        if all((folder / name).is_file() for name in names):
            try:
                return {name: (folder / name).read_bytes() for name in names}, str(folder)
            except OSError as error:
                raise DataError(f"{spec.dataset}: {error}; check its permissions") from error
    archive = find_file([published.filename], roots)
    if archive is None:
        if not spec.download:
            how = (
                f"set data.download: true, or get {published.url} and put it, or all of {', '.join(names)} "
                f"in a folder {published.base_folder}, there"
            )
            raise missing(spec.dataset, [published.filename], roots, how)
        archive = fetch(spec.dataset, [published.url], spec.root, published.tgz_md5)
    members = read_members(archive, [f"{published.base_folder}/{name}" for name in names], lambda file, _: file.read())
    return {name.rsplit("/", 1)[-1]: blob for name, blob in members.items()}, str(archive)


def _parse(blob: bytes, where: str, label_key: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _BatchReader(io.BytesIO(blob), encoding="latin1").load()
        images, labels = np.asarray(batch["data"]), np.asarray(batch[label_key], dtype=np.int64)
    except Exception as error:  # a damaged stream can fail in any way
        raise DataError(f"{where} is corrupt ({first_line(error)}); delete it and get it again") from error
    if images.dtype != np.uint8 or images.shape != (len(labels), PIXELS) or labels.ndim != 1:
        raise DataError(
            f"{where}: expected uint8 [n, {PIXELS}] with n labels, got {images.dtype} {list(images.shape)} "
            f"with labels {list(labels.shape)}; delete it and get it again"
        )
    if len(labels) and not (labels.min() >= 0 and labels.max() < classes):
        raise DataError(
            f"{where}: labels must lie in 0..{classes - 1}, got {labels.min()}..{labels.max()}; "
            "delete it and get it again"
        )
    return images.reshape(-1, 3, 32, 32), labels


def _check_published(blob: bytes, name: str, where: str, md5: str, records: int) -> None:
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    if digest == md5:
        return
    if records == (50_000 if name == "train" else 10_000):
        raise DataError(
            f"{where}/{name} has md5 {digest}, published is {md5}; delete it and get it again, "
            "or give your own version as data.dataset: arrays"
        )
    log.warning("%s/%s has %d records, which is not the published batch; reading it as it is", where, name, records)


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
