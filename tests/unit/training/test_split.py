"""Membership designs: exact margins, growth without change, no leak through the complement."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.errors import SplitError
from raymeter.schema.seeds import seed_for
from raymeter.training.split import make_split, with_foreign_target


def split(models: int = 8, pool: int = 20, **changes):
    options = {"pool": pool, "population": 5, "models": models, "targets": None, "examples": None, "seed": 3}
    return make_split(**{**options, **changes})


def test_make_split_margins_are_exact():
    """Every model has half of the pool and every record is in half of the models."""
    member = split().member
    np.testing.assert_array_equal(member.sum(axis=0), np.full(8, 10))
    np.testing.assert_array_equal(member.sum(axis=1), np.full(20, 4))


def test_make_split_growing_keeps_the_first_models():
    """Going from 4 to 8 models leaves the members of the first 4 as they were."""
    np.testing.assert_array_equal(split(models=4).member, split(models=8).member[:, :4])


def test_make_split_reference_excludes_target_and_complement():
    """A target is judged by the models of other pairs only."""
    reference = split(models=6).reference
    for target in range(6):
        assert set(np.flatnonzero(~reference[target])) == {target, target ^ 1}


def test_make_split_differs_by_seed():
    """Another seed gives another membership."""
    assert (split(seed=3).member != split(seed=4).member).any()


def test_make_split_audits_sorted_distinct_records():
    """A part of the pool is drawn without replacement, in order."""
    ids = split(examples=7).audit_ids
    assert len(ids) == 7
    assert (np.diff(ids) > 0).all()


def test_make_split_limits_targets():
    """Asking for three targets attacks the first three models."""
    made = split(targets=3)
    np.testing.assert_array_equal(made.targets, [0, 1, 2])
    assert made.reference.shape == (3, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": 5}, "models must be even and at least 4 (two complementary pairs), got 5"),
        ({"models": 2}, "models must be even and at least 4"),
        ({"pool": 7}, "pool must be even and at least 2 so that halves are equal, got 7"),
        ({"examples": 21}, "cannot audit 21 of 20 pool records; ask for at most 20"),
        ({"targets": 9}, "cannot attack 9 of 8 models; ask for at most 8"),
    ],
)
def test_make_split_refuses_impossible_designs(changes, message):
    """Odd, too small and too large numbers are named with the remedy."""
    with pytest.raises(SplitError) as error:
        split(**changes)
    assert message in str(error.value)


def test_seed_for_is_stable():
    """Derived seeds are part of the format of a run directory: they never change."""
    assert seed_for(0, "pair", 0) == 1313928740741382279
    assert len({seed_for(seed, what, index) for seed in (0, 1) for what in ("pair", "model") for index in (0, 1)}) == 8


def test_only_keeps_the_design_of_the_models_that_are_there():
    """Columns, targets and references of the others are gone; the numbers of those that stay are known."""
    whole = make_split(pool=8, population=2, models=8, targets=5, examples=None, seed=0)
    fewer = whole.only([0, 2, 3, 4, 7])
    np.testing.assert_array_equal(fewer.member, whole.member[:, [0, 2, 3, 4, 7]])
    assert fewer.models.tolist() == [0, 2, 3, 4, 7]
    assert fewer.targets.tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(fewer.reference, whole.reference[np.ix_([0, 2, 3, 4], [0, 2, 3, 4, 7])])
    assert not fewer.reference[1, [1, 2]].any()


def test_a_foreign_target_changes_no_half():
    """It is the last column and the only target; the models and their halves are as without it."""
    own, member = split(), np.arange(20) < 13
    made = with_foreign_target(own, member, np.array([True, False, False, True, False]))
    np.testing.assert_array_equal(made.member[:, :8], own.member)
    np.testing.assert_array_equal(made.member[:, 8], member)
    np.testing.assert_array_equal(made.reference, [[True] * 8 + [False]])
    np.testing.assert_array_equal(made.population_ids, [1, 2, 4])
    np.testing.assert_array_equal(made.trained_here.member, own.member)
    assert (list(made.targets), list(made.models), made.has_foreign_target) == ([8], list(range(9)), True)
    assert [made.name_of(column) for column in (3, 8)] == ["model 3", "the target"]


@pytest.mark.parametrize("turned", [False, True])
def test_a_foreign_target_is_not_judged_by_models_that_know_its_members(turned):
    """A model of the same half, and its complement, are no references."""
    own = split()
    member = own.member[:, 4] ^ turned
    made = with_foreign_target(own, member, np.zeros(5, dtype=bool))
    assert set(np.flatnonzero(~made.reference[0])) == {4, 5, 8}


def test_a_foreign_target_needs_records_outside():
    """A population that it was trained on is no population."""
    with pytest.raises(SplitError, match="all 5 records of the population are members of the target"):
        with_foreign_target(split(), np.arange(20) < 3, np.ones(5, dtype=bool))


def test_a_foreign_target_stays_without_a_model_that_could_not_be_trained():
    """The others judge it; it is still the last column."""
    made = with_foreign_target(split(), np.arange(20) < 13, np.zeros(5, dtype=bool)).only([0, 2, 3, 8])
    assert (list(made.targets), list(made.models)) == ([3], [0, 2, 3, 8])
    np.testing.assert_array_equal(made.reference, [[True, True, True, False]])
