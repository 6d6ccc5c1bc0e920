"""Datasets by name: DATASETS, one file each, and `module:function` for anything else.

Every loader returns all records it has; `load_dataset` divides them, by the seed alone, into a
population that never trains a model and a pool that may.
"""

from raymeter.data.load import DATASETS, DOWNLOADABLE, load_dataset

__all__ = ["DATASETS", "DOWNLOADABLE", "load_dataset"]
