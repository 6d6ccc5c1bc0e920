"""Datasets by name: DATASETS, one file each, and `module:function` for anything else.

Every loader returns all records it has; `load_dataset` divides them, by the seed alone, into a
population that never trains a model and a pool that may.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable

import numpy as np

from raymeter.data.arrays import as_records, load_arrays
from raymeter.data.cifar import load_cifar10, load_cifar100
from raymeter.data.digits import load_digits
from raymeter.data.idx import load_fashion_mnist, load_mnist
from raymeter.data.records import DataSpec, Records
from raymeter.data.tabular import load_purchase100, load_texas100
from raymeter.errors import DataError
from raymeter.schema import Dataset
from raymeter.split import seed_for

__all__ = ["DATASETS", "DataSpec", "Records", "load_dataset"]

DATASETS: dict[str, Callable[[DataSpec], Records]] = {
    "digits": load_digits,
    "fashion_mnist": load_fashion_mnist,
    "mnist": load_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "purchase100": load_purchase100,
    "texas100": load_texas100,
    "arrays": load_arrays,
}
LARGEST_DEFAULT_POPULATION = 10_000


def load_dataset(spec: DataSpec) -> Dataset:
    """Load records and divide them into pool and population.

    The records are permuted by the seed. The population is taken from the front and the pool from the
    back, so that changing the size of one leaves the other as it was wherever both fit.

    Raises:
        DataError: Files are missing or corrupt, or there are fewer records than asked for.
    """
    records = _loader(spec.dataset)(spec)
    total = len(records.y)
    left = total - (spec.pool_size or 0)
    population = spec.population_size or min(LARGEST_DEFAULT_POPULATION, total // 3, left)
    pool = spec.pool_size or (total - population) // 2 * 2
    if pool < 4 or population < 1 or pool + population > total:
        raise DataError(
            f"{spec.dataset} has {total} records, too few for a pool of {pool} and a population of {population}; "
            "lower data.pool_size or audit.population_size"
        )
    order = np.random.default_rng(seed_for(spec.seed, "population")).permutation(total)
    outside, inside = np.sort(order[:population]), np.sort(order[total - pool :])
    return Dataset(
        name=spec.dataset,
        x=np.ascontiguousarray(records.x[inside]),
        y=records.y[inside],
        population_x=np.ascontiguousarray(records.x[outside]),
        population_y=records.y[outside],
        num_classes=records.num_classes,
    )


def _loader(name: str) -> Callable[[DataSpec], Records]:
    if ":" in name:
        return lambda spec: _load_custom(name, spec)
    if name not in DATASETS:
        close = difflib.get_close_matches(name.lower(), DATASETS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(DATASETS)}, or module:function"
        raise DataError(f"data.dataset: unknown dataset {name!r}; {hint}")
    return DATASETS[name]


def _load_custom(name: str, spec: DataSpec) -> Records:
    module, _, function = name.partition(":")
    try:
        loader = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise DataError(f"data.dataset: cannot load {name!r} ({error}); write module:function") from error
    try:
        loaded = loader(spec)
    except Exception as error:
        raise DataError(f"data.dataset: {name} raised {type(error).__name__}: {error}") from error
    if isinstance(loaded, Records):
        return as_records(loaded.x, loaded.y, name)
    if not isinstance(loaded, tuple) or len(loaded) != 2:
        raise DataError(f"data.dataset: {name} returned {type(loaded).__name__}; return (x, y)")
    return as_records(loaded[0], loaded[1], name)
