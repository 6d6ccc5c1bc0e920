"""What a dataset loader gets and gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True)
class Records:
    """All records of a dataset, before anything is divided.

    Images are uint8 `[records, channels, height, width]`, everything else float32 `[records, features]`.
    `source` says in words where they came from.
    """

    x: np.ndarray
    y: Int64[np.ndarray, " records"]
    num_classes: int
    source: str = ""
