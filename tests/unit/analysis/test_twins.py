"""Equal and nearly equal records on two sides of a target are found and told in one line."""

from __future__ import annotations

import numpy as np

from raymeter.analysis.twins import Twins, exact_twins, near_twins


def test_exact_twins_count_where_memberships_differ():
    """Three copies of one record, of which two have the same members; a pair that is never apart does not count."""
    x = np.random.default_rng(0).integers(0, 255, (8, 1, 2, 2), dtype=np.uint8)
    x[[1, 2]] = x[0]
    x[4] = x[3]
    member = np.array([[1, 0], [1, 0], [0, 1], [1, 0], [1, 0], [0, 1], [0, 1], [0, 1]], dtype=bool)
    assert exact_twins(x, member) == Twins(8, 3)


def test_near_twins_are_closer_than_records_usually_are():
    """Ten records with a copy that is a little off, of other members; copies of the same members do not count."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 5))
    features[:10] = features[10:20] + 1e-3 * rng.normal(size=(10, 5))
    member = rng.random((200, 4)) < 0.5
    member[:5], member[5:10] = ~member[10:15], member[15:20]
    assert np.flatnonzero(near_twins(features, member)).tolist() == [*range(5), *range(10, 15)]


def test_the_line_says_both_or_nothing():
    """Counts of exact and near twins, and what they do."""
    assert Twins(100, 0, 50, 0).line() == ""
    line = Twins(100, 6, 50, 2).line()
    assert line.startswith("warning: 6 of 100 audited records have an exact twin, 2 of 50 a near one that other models")
