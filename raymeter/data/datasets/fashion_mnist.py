"""Fashion-MNIST (Xiao, Rasul, Vollgraf, arXiv:1708.07747): 70000 pictures of clothes."""

from __future__ import annotations

from pathlib import Path

from raymeter.data.loaded_records import Records
from raymeter.data.readers.idx import load_idx
from raymeter.schema.dataset import DataSpec

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist


def load(spec: DataSpec) -> Records:
    """70000 images uint8 [1, 28, 28] of 10 classes, the training part before the test part.

    Found in `data_dir/FashionMNIST/raw`, in `data_dir`, or where Debian's package dataset-fashion-mnist
    installs them; otherwise downloaded to the first from torchvision's mirror with its checksums.

    Raises:
        DataError: Files are missing or corrupt.
    """
    return load_idx(spec, "FashionMNIST", [DEBIAN], ", or on Debian: apt install dataset-fashion-mnist")
