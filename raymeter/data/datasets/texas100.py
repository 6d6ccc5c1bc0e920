"""Texas-100 (Shokri et al., Membership Inference Attacks Against Machine Learning Models, S&P 2017)."""

from __future__ import annotations

from raymeter.data.loaded_records import Records
from raymeter.data.readers.shokri_csv import as_classes, read_tables
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec

URL = "https://www.comp.nus.edu.sg/~reza/files/dataset_texas.tgz"
FEATURES = 6169
NAMES = ("dataset_texas/feats", "dataset_texas/labels")


def load(spec: DataSpec) -> Records:
    """67330 hospital stays: 6169 binary features as float32, 100 classes.

    The published files `dataset_texas/feats` and `dataset_texas/labels` (1..100) are found in `data_dir`,
    unpacked or in dataset_texas.tgz, or downloaded.

    Raises:
        DataError: Files are missing or corrupt.
    """
    tables, source = read_tables(spec, NAMES, URL)
    features, labels = tables[NAMES[0]], tables[NAMES[1]]
    if features.shape[1] != FEATURES or labels.shape[1] != 1 or len(features) != len(labels):
        raise DataError(
            f"texas100: expected feats of {FEATURES} columns and labels of 1, equally long, got "
            f"{list(features.shape)} and {list(labels.shape)} in {source}; get {URL} again"
        )
    return as_classes(spec, features, labels[:, 0], source)
