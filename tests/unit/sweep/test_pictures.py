"""Axes of a sweep's pictures: what stands where, on which scale, in how many intervals."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.sweep.pictures import MapAxis, is_wide, ordered


def test_values_are_ordered_as_numbers_then_names_then_none():
    """As texts, a population of 200 came before one of 50."""
    assert ordered([200, None, "tuned", 50, 599, 50]) == [50, 200, 599, "tuned", None]


@pytest.mark.parametrize(
    ("values", "wide"),
    [
        (np.random.default_rng(0).uniform(0, 1, 200), False),  # whose least value is very small
        (np.exp(np.random.default_rng(0).uniform(0, 6, 200)), True),
        ([0.1, 1.0, 10.0], True),
        ([0.0, 1.0, 100.0], False),
        ([50, 200, 599], False),
    ],
    ids=["uniform", "loguniform", "factors", "with 0", "few"],
)
def test_a_scale_is_logarithmic_where_values_go_up_by_factors(values, wide):
    """The least of many uniform numbers is small too, and made their axis a logarithmic one."""
    assert is_wide(list(values)) is wide


@pytest.mark.parametrize("high", [1.0, 8.0, 1e4])
def test_intervals_of_a_heat_map_hold_every_row(high):
    """At most twelve with round ends, fewer where rows are few; each row is in the one that its label says."""
    numbers = np.random.default_rng(1).uniform(0, high, 50)
    axis = MapAxis.of([{"gamma": number} for number in numbers], "gamma")
    ends = [tuple(map(float, label.split(" to "))) for label in axis.labels]
    assert 3 <= len(ends) <= 7
    for number, place in zip(numbers, axis.places, strict=True):
        assert ends[place][0] <= number <= ends[place][1]
