"""The table of datasets, and how a dataset is divided into pool and population.

Every loader returns all records it has; `load_dataset` divides them, by the seed alone, into a
population that never trains a model and a pool that may.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from raymeter.config.messages import suggest_and_list
from raymeter.data.datasets import cifar10, cifar100, digits, fashion_mnist, mnist, purchase100, texas100
from raymeter.data.download import log
from raymeter.data.loaded_records import Records, contents
from raymeter.data.readers import arrays
from raymeter.data.readers.parquet_streamed import beyond_memory, scan
from raymeter.data.readers.user_function import load_custom
from raymeter.errors import DataError
from raymeter.schema.dataset import Dataset, DataSpec, some_records
from raymeter.schema.seeds import seed_for

DATASETS: dict[str, Callable[[DataSpec], Records]] = {
    "digits": digits.load,
    "fashion_mnist": fashion_mnist.load,
    "mnist": mnist.load,
    "cifar10": cifar10.load,
    "cifar100": cifar100.load,
    "purchase100": purchase100.load,
    "texas100": texas100.load,
    "arrays": arrays.load,
}
DOWNLOADABLE = frozenset({"fashion_mnist", "mnist", "cifar10", "cifar100", "purchase100", "texas100"})
LARGEST_DEFAULT_POPULATION = 10_000


def load_dataset(spec: DataSpec) -> Dataset:
    """Load records and divide them into pool and population.

    All records of a dataset, its training and test part, are permuted by the seed. The population is
    taken from the front and the pool from the back, so that asking for another size of one leaves the
    other as it was. By default the population has 10000 records, or a third of all, or what a given pool
    leaves over, whichever is least; the pool is all the rest, rounded down to even.

    Returns:
        The dataset; pool and population each keep the order of the files. A Parquet dataset beyond
        `spec.in_memory_limit` keeps its records in its files, see `readers/parquet_streamed.py`.

    Raises:
        DataError: The name is unknown, files are missing or corrupt, the pool is odd, or there are
            fewer records than asked for.
    """
    tables = beyond_memory(spec)
    records = scan(tables) if tables else _loader(spec.dataset)(spec)
    total = len(records.y)
    what = contents(records)
    log.info("%s: %d records from %s: %s", spec.dataset, total, records.source, what)
    pool, population = _sizes(spec, total)
    order = np.random.default_rng(seed_for(spec.seed, "population")).permutation(total)
    outside, inside = np.sort(order[:population]), np.sort(order[total - pool :])
    return Dataset(
        name=spec.dataset,
        x=some_records(records.x, inside, 0),
        y=records.y[inside],
        population_x=some_records(records.x, outside, spec.in_memory_limit),
        population_y=records.y[outside],
        num_classes=records.num_classes,
        rows=inside,
        population_rows=outside,
        total=total,
        contents=what,
    )


def _sizes(spec: DataSpec, total: int) -> tuple[int, int]:
    """How many records go into the pool and into the population."""
    pool, population = spec.pool_size, spec.population_size
    if pool is not None and pool % 2:
        raise DataError(f"data.pool_size must be even so that both halves of a pair are equal, got {pool}")
    if population is None:
        population = max(1, min(LARGEST_DEFAULT_POPULATION, total // 3, total - (pool or 0)))
    if pool is None:
        pool = max(0, total - population) // 2 * 2
    if pool < 4 or population < 1 or pool + population > total:
        raise DataError(
            f"{spec.dataset} has {total} records, which do not make a pool of {pool} and a population of {population}; "
            "change data.pool_size (at least 4) or audit.population_size (at least 1)"
        )
    return pool, population


def _loader(name: str) -> Callable[[DataSpec], Records]:
    if ":" in name:
        return load_custom
    if name not in DATASETS:
        known = suggest_and_list(name.lower(), DATASETS)
        raise DataError(f"data.dataset: unknown dataset {name!r}; {known}, or module:function")
    return DATASETS[name]
