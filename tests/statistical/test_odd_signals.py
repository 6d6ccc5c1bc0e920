"""Signals that look odd and leak nothing name nobody: records by their p-values, groups by theirs."""

from __future__ import annotations

import numpy as np
import pytest
from designs import matrix, pairs

from raymeter.analysis.leak_test import leak_p_values
from raymeter.schema import Scores
from raymeter.stats import benjamini_hochberg, group_metrics


def test_models_of_another_level_or_spread_name_nobody():
    """Regression: two poor models that are no pair named a quarter of all records."""
    rng, named = np.random.default_rng(2), []
    for seed in range(20):
        member = pairs(300, 4, seed)
        values = rng.normal(2, 1.5, (300, 1)) + rng.normal(size=(300, 4))
        values[:, [0, 2]] -= 15
        values[:, 1] *= 3
        named.append(benjamini_hochberg(leak_p_values(matrix(values, member))).any())
    assert np.mean(named) <= 0.1


@pytest.mark.parametrize("models", [4, 8])
@pytest.mark.parametrize("kind", ["two levels", "rare failures", "clipped", "equal"])
def test_levels_failures_and_ties_name_nobody(kind, models):
    """Regression: signals of two levels named records in every audit of four models, clipped ones in a third."""
    rng, named = np.random.default_rng(3), []
    for seed in range(20):
        member, noise = pairs(300, models, seed), rng.normal(size=(300, models))
        values = (
            rng.normal(2, 1.5, (300, 1))
            + {
                "two levels": np.where(rng.random(noise.shape) < 0.5, -3, 3) + 0.1 * noise,
                "rare failures": np.where(rng.random(noise.shape) < 0.15, -6, 0) + 0.3 * noise,
                "clipped": noise,
                "equal": np.where(rng.random(noise.shape) < 0.5, -3.0, 3.0),
            }[kind]
        )
        values = np.minimum(values, 3.0) if kind == "clipped" else values
        named.append(benjamini_hochberg(leak_p_values(matrix(values, member))).any())
    assert np.mean(named) <= 0.15


def test_a_group_that_only_varies_more_is_no_finding():
    """Regression: by TPR alone a group with noisier signals and no leak had p < .05 in every audit."""
    named = []
    for seed in range(40):
        groups = np.random.default_rng(seed).integers(0, 5, 400)
        rng = np.random.default_rng(seed)
        half = rng.random((400, 4)) < 0.5
        member = np.stack([half, ~half], axis=2).reshape(400, 8)
        values = rng.normal(size=member.shape) * np.where(groups == 0, 3.0, 1.0)[:, None]
        scores = Scores("lira", values, member, np.arange(400), np.arange(8))
        table = group_metrics(scores, groups, np.arange(8) // 2, seed=seed, fpr=0.05, permutations=99)
        named.append(min(group.p_value_holm for group in table.groups) < 0.05)
    assert np.mean(named) <= 0.1
