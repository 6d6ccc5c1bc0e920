"""Purchase-100 (Shokri et al., Membership Inference Attacks Against Machine Learning Models, S&P 2017)."""

from __future__ import annotations

from raymeter.data.loaded_records import Records
from raymeter.data.readers.shokri_csv import as_classes, read_tables
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec

URL = "https://www.comp.nus.edu.sg/~reza/files/dataset_purchase.tgz"
FEATURES = 600


def load(spec: DataSpec) -> Records:
    """197324 shopping histories: 600 binary features as float32, 100 classes.

    The published file `dataset_purchase` has a label 1..100 and the features in each row. It is found in
    `data_dir`, alone or in dataset_purchase.tgz, or downloaded.

    Raises:
        DataError: Files are missing or corrupt.
    """
    tables, source = read_tables(spec, ["dataset_purchase"], URL)
    table = tables["dataset_purchase"]
    if table.shape[1] != 1 + FEATURES:
        raise DataError(
            f"purchase100: expected a label and {FEATURES} features in a row, got {table.shape[1]} columns in "
            f"{source}; get {URL} again"
        )
    return as_classes(spec, table[:, 1:], table[:, 0], source)
