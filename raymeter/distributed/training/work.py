"""What a training slot gets. In a file of its own: Ray Train's controllers unpickle it, and must not load torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TrainingWork:
    """What every slot of one audit needs, whichever models it will lease.

    Args:
        x: Reference to the pool, an array [pool, ...] or `LazyRecords`.
        y: Reference to its labels, int64 [pool].
        member: Reference to the mask [pool, models]: which records train which model.
        num_classes: Of the dataset.
        recipe: The fields of a `Recipe` as plain values: the controllers need none of `raymeter.schema`.
        seed: Of the split; a model's own seed follows from it and the model's index.
        store: Location of the run directory.
        checkpoint_interval: Seconds between two checkpoints of a model; 0 saves after every epoch.
        threads: Of torch, in each worker.
        data: sha256 of the pool, for the markers.
    """

    x: Any
    y: Any
    member: Any
    num_classes: int
    recipe: Mapping[str, Any]
    seed: int
    store: str
    checkpoint_interval: float
    threads: int
    data: str
