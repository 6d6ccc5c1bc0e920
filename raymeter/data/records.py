"""What a dataset loader gets and gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True)
class DataSpec:
    """What the configuration says about the data; defaults live there."""

    dataset: str
    data_dir: str
    path: str | None
    pool_size: int | None
    population_size: int | None
    seed: int
    download: bool

    @property
    def root(self) -> Path:
        """The directory in which dataset files are looked for."""
        return Path(self.data_dir).expanduser()


@dataclass(frozen=True)
class Records:
    """All records of a dataset, before anything is divided.

    Images are uint8 `[records, channels, height, width]`, everything else float32 `[records, features]`.
    """

    x: np.ndarray
    y: Int64[np.ndarray, " records"]
    num_classes: int
