"""CIFAR-10 (Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009)."""

from __future__ import annotations

from raymeter.data.loaded_records import Records
from raymeter.data.readers.cifar_batches import load_cifar
from raymeter.schema.dataset import DataSpec


def load(spec: DataSpec) -> Records:
    """60000 images uint8 [3, 32, 32] of 10 classes, the training part before the test part.

    Found as `data_dir/cifar-10-batches-py` or `data_dir/cifar-10-python.tar.gz`, or downloaded with checksum.

    Raises:
        DataError: Files are missing or corrupt.
    """
    return load_cifar(spec, "CIFAR10", "labels", 10)
