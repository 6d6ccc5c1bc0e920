"""scikit-learn's copy of the UCI handwritten digits: 1797 real 8x8 images, shipped with the package."""

from __future__ import annotations

import numpy as np
import sklearn.datasets

from raymeter.data.records import DataSpec, Records


def load_digits(spec: DataSpec) -> Records:
    """1797 images uint8 [1, 8, 8]; the 17 grey levels 0..16 are multiplied by 15 to fill a byte."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    images = (x * 15).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Records(images, y.astype(np.int64), 10)
