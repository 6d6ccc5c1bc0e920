"""The logit gap of logits, which imported files and attacks share."""

import numpy as np
import pytest

from raymeter.schema.logits import logit_gap


def test_gap_is_the_logarithm_of_the_odds():
    """log p - log(1 - p) of the softmax probability, by hand."""
    odds = np.array([[1.0, 2.0, 5.0], [6.0, 1.0, 3.0]])
    assert logit_gap(np.log(odds), np.array([2, 0])) == pytest.approx(np.log([5 / 3, 6 / 4]))


def test_gap_of_many_axes_is_the_gap_of_each_cell():
    """Bit for bit, whatever the axes, and the logits stay as they were."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((7, 3, 2, 5)).astype(np.float32)
    before, labels = logits.copy(), rng.integers(0, 5, (7, 3, 2))
    flat = logit_gap(logits.reshape(-1, 5), labels.ravel())
    assert np.array_equal(logit_gap(logits, labels).ravel(), flat)
    assert np.array_equal(logits, before)
