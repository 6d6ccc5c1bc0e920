"""What a dataset loader gets and gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True)
class DataSpec:
    """What the configuration says about the data; defaults live there.

    Args:
        dataset: A name from DATASETS, or `module:function`.
        data_dir: Where dataset files are looked for and downloaded to.
        path: The user's own file, for `arrays`.
        pool_size: Records that may train a model, even; None for all but the population.
        population_size: Records that no model trains on; None for the default.
        seed: The run's random seed, which decides who is in the population.
        download: Whether missing public files may be downloaded; False never touches the network.
        in_memory_limit: Bytes; Parquet data that would take more are streamed. None: everything is loaded.
    """

    dataset: str
    data_dir: str
    path: str | None
    pool_size: int | None
    population_size: int | None
    seed: int
    download: bool
    in_memory_limit: int | None = None

    @property
    def root(self) -> Path:
        """The directory in which dataset files are looked for."""
        return Path(self.data_dir).expanduser()


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
