"""The model-free baseline: blind where membership is random, and loud where the records give it away."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.analysis.blind_baseline import blind_baseline
from raymeter.report.verdict import blind_warning
from raymeter.schema import Dataset, Split
from raymeter.training.split import make_split


def dataset(seed: int, records: int = 200, outside: int = 100, features: int = 4) -> Dataset:
    """Random records of three classes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(records + outside, features)).astype(np.float32)
    y = rng.integers(0, 3, len(x))
    return Dataset("random", x[:records], y[:records], x[records:], y[records:], 3)


def split(data: Dataset, seed: int = 0) -> Split:
    return make_split(
        pool=len(data.y), population=len(data.population_y), models=4, targets=None, examples=None, seed=seed
    )


def test_random_membership_gives_no_warning():
    """Four answers, each with its question, none better than chance."""
    data = dataset(0)
    result = blind_baseline(data, split(data), seed=0)
    assert not result.warns
    assert {answer.question for answer in result.answers} == {
        "pool from population",
        "members from non-members of model 0",
    }
    assert len(result.answers) == 4 and result.answers[0].records == 300


def test_a_shifted_population_is_noticed():
    """Population records that are larger give a warning with figures."""
    data = dataset(0)
    data.population_x[:] += 1.0
    result = blind_baseline(data, split(data), seed=0)
    assert result.warns
    assert "distinguishes pool from population with AUC 0." in blind_warning(result)


def test_a_shift_in_labels_alone_is_noticed():
    """A population of one class is told by its labels."""
    data = dataset(0)
    data.population_y[:] = 1
    assert blind_baseline(data, split(data), seed=0).warns


def test_members_that_differ_are_noticed():
    """A split that follows a feature is found: members are not like non-members."""
    data = dataset(0)
    found = split(data)
    found.member[:, 0] = data.x[:, 0] > 0
    result = blind_baseline(data, found, seed=0)
    assert "members from non-members of model 0" in blind_warning(result)


def test_constant_features_and_few_records_are_no_trouble():
    """Nothing varies; a population of one record: no warning of any kind, no error."""
    data = dataset(0, records=40, outside=1)
    data.x[:], data.population_x[:] = 1.0, 1.0
    assert not blind_baseline(data, split(data), seed=0).warns


def test_large_images_are_thinned():
    """Images of 100 x 100 pixels are read in every fourth row and column."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 3, 100, 100), dtype=np.uint8)
    y = rng.integers(0, 2, 60)
    data = Dataset("images", x[:40], y[:40], x[40:], y[40:], 2)
    assert not blind_baseline(data, split(data), seed=0).warns


def test_the_same_seed_gives_the_same_answers():
    """Every random choice derives from the seed."""
    data = dataset(0)
    assert blind_baseline(data, split(data), seed=3) == blind_baseline(data, split(data), seed=3)


@pytest.mark.parametrize("seed", [2**63, 0])
def test_any_seed_will_do(seed):
    """The run's 63-bit seeds are more than scikit-learn takes."""
    data = dataset(1, records=40, outside=20)
    assert len(blind_baseline(data, split(data), seed=seed).answers) == 4
