"""Pool and population of a dataset, and datasets by name."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from raymeter.data import DATASETS, load_dataset
from raymeter.data.loaded_records import Records
from raymeter.errors import DataError
from raymeter.schema.dataset import DataSpec

NAMES = f"{', '.join(DATASETS)}, or module:function"


def numbered(spec: DataSpec) -> tuple[np.ndarray, np.ndarray]:
    """Thirty records that hold their own number."""
    return np.arange(30, dtype=np.float32)[:, None], np.arange(30) % 3


def declared(spec: DataSpec) -> Records:
    """Records of two classes that say there are five."""
    return Records(np.zeros((10, 2)), np.arange(10) % 2, 5)


def broken(spec: DataSpec) -> None:
    raise KeyError("weight")


def refused(spec: DataSpec) -> None:
    raise DataError("the survey is not here")


def listed(spec: DataSpec) -> list[int]:
    return [1, 2, 3]


def spec(**changes) -> DataSpec:
    """A spec for the thirty numbered records."""
    name = f"{__name__}:numbered"
    base = DataSpec(name, data_dir="nowhere", path=None, pool_size=None, population_size=None, seed=0, download=False)
    return replace(base, **changes)


def ids(x: np.ndarray) -> list[int]:
    return x[:, 0].astype(int).tolist()


def test_load_dataset_default_sizes():
    """By default a third is population, and the pool is everything else."""
    dataset = load_dataset(spec())
    assert (len(dataset.x), len(dataset.population_x)) == (20, 10)
    assert sorted(ids(dataset.x) + ids(dataset.population_x)) == list(range(30))
    assert ids(dataset.x) == sorted(ids(dataset.x))
    assert (dataset.y == dataset.x[:, 0] % 3).all()
    assert (dataset.population_y == dataset.population_x[:, 0] % 3).all()


def test_load_dataset_pool_is_rounded_down_to_even():
    """One record is left out where the rest is odd."""
    dataset = load_dataset(spec(population_size=7))
    assert (len(dataset.x), len(dataset.population_x)) == (22, 7)


def test_load_dataset_sizes_do_not_touch_each_other():
    """Changing one size leaves the other part as it was."""
    small, large = load_dataset(spec(pool_size=6)), load_dataset(spec(pool_size=20))
    assert ids(small.population_x) == ids(large.population_x)
    few, many = load_dataset(spec(pool_size=6, population_size=2)), load_dataset(spec(pool_size=6, population_size=24))
    assert ids(few.x) == ids(many.x)
    assert set(ids(few.population_x)) < set(ids(many.population_x))


def test_load_dataset_given_pool_leaves_the_rest_as_population():
    """A pool that leaves less than a third takes what it asks for, and the population is what remains."""
    dataset = load_dataset(spec(pool_size=26))
    assert (len(dataset.x), len(dataset.population_x)) == (26, 4)


def test_load_dataset_depends_on_the_seed_alone():
    """The same seed gives the same fingerprint, another seed another population."""
    assert load_dataset(spec()).fingerprint == load_dataset(spec()).fingerprint
    assert ids(load_dataset(spec()).population_x) != ids(load_dataset(spec(seed=1)).population_x)


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({"pool_size": 28, "population_size": 3}, "a pool of 28 and a population of 3"),
        ({"pool_size": 30}, "a pool of 30 and a population of 1"),
        ({"population_size": 50}, "a pool of 0 and a population of 50"),
        ({"pool_size": 0}, "a pool of 0 and a population of 10"),
    ],
)
def test_load_dataset_too_few_records(changes, numbers):
    """Asking for more than there is names the numbers and the keys."""
    with pytest.raises(DataError) as error:
        load_dataset(spec(**changes))
    assert str(error.value) == (
        f"{__name__}:numbered has 30 records, which do not make {numbers}; "
        "change data.pool_size (at least 4) or audit.population_size (at least 1)"
    )


def test_load_dataset_odd_pool():
    """An odd pool is refused, naming the key."""
    with pytest.raises(DataError, match=r"data\.pool_size must be even .*, got 7"):
        load_dataset(spec(pool_size=7))


def test_load_dataset_unknown_name():
    """An unknown name lists the known ones, and the closest where there is one."""
    with pytest.raises(DataError) as error:
        load_dataset(spec(dataset="cifar-10"))
    assert str(error.value) == f"data.dataset: unknown dataset 'cifar-10'; did you mean cifar10? known are {NAMES}"
    with pytest.raises(DataError) as error:
        load_dataset(spec(dataset="zzz"))
    assert str(error.value) == f"data.dataset: unknown dataset 'zzz'; known are {NAMES}"


def test_datasets_table_names():
    """The table holds the promised datasets."""
    assert ", ".join(DATASETS) + ", or module:function" == NAMES


def test_custom_records_keep_their_number_of_classes():
    """A loader that returns Records may name more classes than occur."""
    assert load_dataset(spec(dataset=f"{__name__}:declared")).num_classes == 5


def tensors(spec):
    return torch.nn.Parameter(torch.arange(60).reshape(30, 2).to(torch.bfloat16)), torch.arange(30) % 3


def sparse_rows(spec):
    return sparse.csr_matrix(np.arange(60.0).reshape(30, 2)), (np.arange(30) % 3).tolist()


@pytest.mark.parametrize("function", ["tensors", "sparse_rows"])
def test_custom_loaders_may_return_tensors_and_sparse_matrices(function):
    """They ended in a traceback, or in a line about shapes."""
    found = load_dataset(spec(dataset=f"{__name__}:{function}"))
    np.testing.assert_array_equal(found.x, np.arange(60).reshape(30, 2)[found.rows])
    np.testing.assert_array_equal(found.y, found.rows % 3)


def test_sparse_records_keep_to_the_limit_of_the_configuration():
    """data.in_memory_limit says what they may take."""
    with pytest.raises(DataError, match=r"sparse_rows: x is sparse, \[30, 2\], and would take"):
        load_dataset(spec(dataset=f"{__name__}:sparse_rows", in_memory_limit=479))


def ragged(spec):
    return [[1.0], [1.0, 2.0]], [0, 1]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("ragged", "ragged: x: its rows differ in length: row 0 has 1 values, row 1 has 2 values"),
        ("absent", "cannot load .*AttributeError.*; write module:function"),
        ("NAMES", "is str, not a function; give one that loads records"),
        ("broken", "raised KeyError: 'weight'"),
        ("refused", "^the survey is not here$"),
        ("listed", r"returned list; return \(x, y\)"),
    ],
)
def test_custom_loader_errors(function, message):
    """Whatever is wrong with the user's function is said in one line."""
    with pytest.raises(DataError, match=message) as error:
        load_dataset(spec(dataset=f"{__name__}:{function}"))
    assert "\n" not in str(error.value)


def test_custom_module_that_does_not_import(tmp_path, monkeypatch):
    """A missing module and one with a syntax error are both named, with the original error chained."""
    with pytest.raises(DataError, match="cannot load 'no_such_module:f' .*ModuleNotFoundError"):
        load_dataset(spec(dataset="no_such_module:f"))
    (tmp_path / "halfwritten.py").write_text("def load(spec:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="cannot load 'halfwritten:load' .*SyntaxError") as error:
        load_dataset(spec(dataset="halfwritten:load"))
    assert isinstance(error.value.__cause__, SyntaxError)
    assert "halfwritten" not in sys.modules
