"""Records: in memory or in their files, and the request for them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from raymeter.errors import DataError


def some_records(
    x: np.ndarray | LazyRecords, chosen: Int64[np.ndarray, " chosen"], limit: int | None
) -> np.ndarray | LazyRecords:
    """Some records by their ascending positions; those of streamed data are read where they take at most `limit`."""
    if isinstance(x, np.ndarray):
        return np.ascontiguousarray(x[chosen])
    part = x.subset(chosen)
    return part[:] if limit is None or part.nbytes <= limit else part


@dataclass(frozen=True)
class TableChoice:
    """What the configuration says about the columns of a table.

    Args:
        label: The column of classes; None for y or label.
        id: A column that names records and is no feature; None for what is usually called so.
        drop: Columns that are no features.
        categorical: Columns of numbers that are categories.
    """

    label: str | None = None
    id: str | None = None
    drop: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()


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
        table: What the columns of a table are; where it says anything, the table is loaded and encoded.
    """

    dataset: str
    data_dir: str
    path: str | None
    pool_size: int | None
    population_size: int | None
    seed: int
    download: bool
    in_memory_limit: int | None = None
    table: TableChoice = TableChoice()

    @property
    def root(self) -> Path:
        """The directory in which dataset files are looked for."""
        return Path(self.data_dir).expanduser()


@runtime_checkable
class LazyRecords(Protocol):
    """Records that stay in files: they have the shape of an array, and indexing reads them."""

    @property
    def dtype(self) -> np.dtype: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: slice | Int64[np.ndarray, " chosen"]) -> np.ndarray: ...
    def subset(self, positions: Int64[np.ndarray, " chosen"]) -> LazyRecords: ...
    def read(self, start: int, stop: int) -> np.ndarray: ...
    def chunks(self, align: int = 1) -> list[tuple[int, int]]: ...


@dataclass(frozen=True)
class Dataset:
    """Records and labels: a pool that may train models and a population that never does.

    Images are uint8 `[n, channels, height, width]` and stay so until they are on the device;
    everything else is float32 `[n, features]`. What is larger than memory stays in its files.

    `rows` and `population_rows` say which record of the files each is, of `total`; by default the pool
    comes first and there are no others. `contents` says in words what a record is made of.
    """

    name: str
    x: np.ndarray | LazyRecords
    y: Int64[np.ndarray, " pool"]
    population_x: np.ndarray | LazyRecords
    population_y: Int64[np.ndarray, " population"]
    num_classes: int
    rows: Int64[np.ndarray, " pool"] = None  # type: ignore[assignment]
    population_rows: Int64[np.ndarray, " population"] = None  # type: ignore[assignment]
    total: int = 0
    contents: str = ""

    def __post_init__(self) -> None:
        if self.rows is None:
            object.__setattr__(self, "rows", np.arange(len(self.y), dtype=np.int64))
            object.__setattr__(self, "population_rows", len(self.y) + np.arange(len(self.population_y), dtype=np.int64))
            object.__setattr__(self, "total", len(self.y) + len(self.population_y))
        for part, x, y in (("pool", self.x, self.y), ("population", self.population_x, self.population_y)):
            if len(x) != len(y):
                raise DataError(f"{self.name}: the {part} has {len(x)} records but {len(y)} labels")
            if y.dtype != np.int64:
                raise DataError(f"{self.name}: {part} labels must be int64, got {y.dtype}")
            if len(y) and (y.min() < 0 or y.max() >= self.num_classes):
                raise DataError(
                    f"{self.name}: {part} labels must lie in 0..{self.num_classes - 1}, got {y.min()}..{y.max()}"
                )
        if self.x.shape[1:] != self.population_x.shape[1:] or self.x.dtype != self.population_x.dtype:
            raise DataError(
                f"{self.name}: pool records are {self.x.dtype}{list(self.x.shape[1:])}, "
                f"population records {self.population_x.dtype}{list(self.population_x.shape[1:])}"
            )

    @property
    def is_image(self) -> bool:
        """Whether records are images, so that mirroring and cropping make sense."""
        return self.x.dtype == np.uint8 and self.x.ndim == 4

    @property
    def is_streamed(self) -> bool:
        """Whether the records stay in their files."""
        return not isinstance(self.x, np.ndarray)

    @cached_property
    def has_gaps(self) -> bool:
        """Whether values are missing (NaN), which a model has to fill."""
        parts = (self.x, self.population_x)
        return any(isinstance(x, np.ndarray) and x.dtype.kind == "f" and bool(np.isnan(x).any()) for x in parts)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, shapes and bytes of every array; equal exactly when the data are."""
        return fingerprint_arrays(self.x, self.y, self.population_x, self.population_y)

    @cached_property
    def pool_fingerprint(self) -> str:
        """SHA-256 over the records that may train a model, and their labels."""
        return fingerprint_arrays(self.x, self.y)


def fingerprint_arrays(*arrays: np.ndarray | LazyRecords) -> str:
    """SHA-256 over dtype, shape and bytes of arrays, in order; of streamed records over their own fingerprint."""
    digest = hashlib.sha256()
    for array in arrays:
        if not isinstance(array, np.ndarray):
            digest.update(array.fingerprint.encode())
            continue
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
