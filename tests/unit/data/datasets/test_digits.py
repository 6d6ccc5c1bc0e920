"""The demo's dataset."""

from __future__ import annotations

import numpy as np

from raymeter.data import DATASETS
from raymeter.schema.dataset import DataSpec


def test_digits_are_real_images():
    """The demo needs no files: 1797 images of 10 classes with 17 grey levels, still bytes."""
    records = DATASETS["digits"](DataSpec("digits", "nowhere", None, None, None, 0, False))
    assert (records.x.shape, records.x.dtype, records.num_classes) == ((1797, 1, 8, 8), np.uint8, 10)
    assert np.unique(records.x).tolist() == [15 * level for level in range(17)]
    assert np.bincount(records.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert records.source.startswith("scikit-learn ")
