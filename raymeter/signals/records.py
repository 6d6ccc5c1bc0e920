"""The records whose signals are computed: audited ones and population."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from raymeter.schema.dataset import Dataset, LazyRecords, fingerprint_arrays, some_records
from raymeter.schema.split import Split


@dataclass(frozen=True)
class RecordSet:
    """One set of records to compute signals on: the audited records, or the population."""

    part: str
    ids: Int64[np.ndarray, " records"]
    x: np.ndarray | LazyRecords
    y: Int64[np.ndarray, " records"]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the records; part of the key under which their signals are stored."""
        return fingerprint_arrays(self.x, self.y)


def gather_records(dataset: Dataset, split: Split, limit: int | None = None) -> tuple[RecordSet, RecordSet]:
    """The audited pool records and the part of the population that no model was trained on, each as one array.

    Args:
        limit: Bytes; audited records of a streamed dataset that take more stay in their files.
    """
    everything = len(split.audit_ids) == len(dataset.y)  # audit_ids are sorted: then this is the pool itself
    x = dataset.x if everything else some_records(dataset.x, split.audit_ids, limit)
    outside, outside_y, ids = dataset.population_x, dataset.population_y, split.population_ids
    if len(ids) < len(outside_y):
        outside, outside_y = some_records(outside, ids, limit), outside_y[ids]
    return (
        RecordSet("audit", split.audit_ids, x, dataset.y if everything else dataset.y[split.audit_ids]),
        RecordSet("population", ids, outside, outside_y),
    )
