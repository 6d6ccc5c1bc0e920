"""What a dataset loader gets and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from raymeter.schema.dataset import LazyRecords

SHOWN = 8  # names of features in a line


@dataclass(frozen=True)
class Records:
    """All records of a dataset, before anything is divided.

    Images are uint8 `[records, channels, height, width]`, everything else float32 `[records, features]`.
    `source` says in words where they came from. `features` and `left_out` are the names of columns that are features,
    in order, and of those that are none, where there are names. `encoded` says what was done to which column.
    """

    x: np.ndarray
    y: Int64[np.ndarray, " records"]
    num_classes: int
    source: str = ""
    features: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    encoded: tuple[str, ...] = ()


@runtime_checkable
class Described(Protocol):
    """What is said of records."""

    @property
    def x(self) -> np.ndarray | LazyRecords: ...
    @property
    def features(self) -> tuple[str, ...]: ...
    @property
    def left_out(self) -> tuple[str, ...]: ...
    @property
    def encoded(self) -> tuple[str, ...]: ...


def contents(records: Described) -> str:
    """In words what a record is made of: images of a size, or which features, and how columns were encoded."""
    shape, features, left_out = records.x.shape[1:], records.features, records.left_out
    if records.x.dtype == np.uint8 and records.x.ndim == 4:
        return f"images {list(shape)}"
    text = f"{int(np.prod(shape))} features"
    if features:
        more = f" and {len(features) - SHOWN} more" if len(features) > SHOWN else ""
        text += f" ({', '.join(features[:SHOWN])}{more})"
    if left_out:
        taken = "" if records.encoded else ", which are taken for ids (rename one to make it a feature)"
        text += f", without {', '.join(left_out)}{taken}"
    if records.encoded:
        text += f"; {'; '.join(records.encoded)}"
    return text
