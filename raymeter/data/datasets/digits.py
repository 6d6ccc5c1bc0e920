"""scikit-learn's copy of the UCI handwritten digits: real 8x8 images, shipped with the package."""

from __future__ import annotations

import numpy as np

from raymeter.data.loaded_records import Records
from raymeter.schema.dataset import DataSpec


def load(spec: DataSpec) -> Records:
    """1797 images uint8 [1, 8, 8] of 10 classes; the 17 grey levels 0..16 are multiplied by 15, which is exact."""
    import sklearn.datasets  # slow to load

    x, y = sklearn.datasets.load_digits(return_X_y=True)
    images = (x * 15).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Records(images, y.astype(np.int64), 10, f"scikit-learn {sklearn.__version__}")
