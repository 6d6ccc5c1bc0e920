"""MNIST (LeCun, Cortes, Burges): 70000 handwritten digits."""

from __future__ import annotations

from raymeter.data.loaded_records import Records
from raymeter.data.readers.idx import load_idx
from raymeter.schema.dataset import DataSpec


def load(spec: DataSpec) -> Records:
    """70000 images uint8 [1, 28, 28] of 10 classes, the training part before the test part.

    Found in `data_dir/MNIST/raw` or `data_dir`, or downloaded to the former from torchvision's mirrors
    with their checksums.

    Raises:
        DataError: Files are missing or corrupt.
    """
    return load_idx(spec, "MNIST")
