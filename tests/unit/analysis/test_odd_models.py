"""Models and views that are unlike the others are named; ordinary ones are not."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from raymeter.analysis.odd_models import odd_models
from raymeter.schema import SignalMatrix


def signals(values: np.ndarray) -> SignalMatrix:
    """Signals of half of the records' members each."""
    member = (np.arange(len(values))[:, None] + np.arange(values.shape[1])) % 2 == 0
    return SignalMatrix("logit_gap", values.astype(np.float32), member)


def ordinary(records: int = 400, models: int = 8, views: int = 1) -> np.ndarray:
    """Records of differing hardness, models that differ in level by as much, two views that agree."""
    rng = np.random.default_rng(0)
    level = rng.normal(2, 1.5, (records, 1, 1)) + rng.normal(0, 1, (1, models, 1))
    return level + rng.normal(size=(records, models, views))


def test_ordinary_models_are_not_named():
    """Levels that differ by a spread of the records, and views that agree, are usual."""
    assert odd_models(signals(ordinary())) == odd_models(signals(ordinary(views=2))) == ()
    assert odd_models(signals(ordinary(models=2))) == ()


@pytest.mark.parametrize(
    ("column", "line"),
    [
        (np.full(400, -30.0), r"model 1 gives every record the same signal \(-30\)"),
        (np.zeros(400), r"model 1 gives every record the same signal \(0\)"),
        (
            np.random.default_rng(1).normal(-1e4, 3e3, 400),
            r"model 1 has signals around -1\.\d+e\+04, the others around",
        ),
        (
            np.random.default_rng(1).normal(2, 50, 400),
            r"model 1 has signals that spread over \d+\.\d, the others' over",
        ),
        (
            np.random.default_rng(1).normal(2, 0.01, 400),
            r"model 1 has signals that spread over 0\.01\d*, the others' over",
        ),
    ],
)
def test_a_diverged_model_is_named(column, line):
    """Regression: one such model took LiRA's AUC from 0.680 to 0.524 without a word."""
    values = ordinary()
    values[:, 1, 0] = column
    (warning,) = odd_models(signals(values))
    assert re.match(f"warning: {line}", warning) and warning.endswith("train it again, or leave it out")


@pytest.mark.parametrize("classes", [2, 10])
def test_probabilities_that_are_taken_for_logits_are_named(classes):
    """A model with a softmax of its own: its gaps end at 1 - log(classes - 1), however sure it is."""
    rng, labels = np.random.default_rng(3), np.arange(400, dtype=np.int64) % classes
    logits = rng.normal(size=(400, 6, classes)) + 6 * (np.arange(classes) == labels[:, None])[:, None]

    def gaps(z: np.ndarray) -> SignalMatrix:
        q = np.exp(z) / np.exp(z).sum(axis=2, keepdims=True)
        own = np.take_along_axis(q, labels[:, None, None], axis=2)[..., 0]
        return replace(signals((np.log(own) - np.log1p(-own))[:, :, None]), labels=labels)

    (warning,) = odd_models(gaps(np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)))
    assert warning.startswith("warning: no signal is above") and "leave the softmax out of the model" in warning
    assert odd_models(gaps(logits)) == ()


def test_a_view_of_noise_is_named():
    """Its correlation with the other view is none."""
    values = ordinary(views=2)
    values[:, :, 1] = np.random.default_rng(2).normal(size=values.shape[:2])
    warnings = odd_models(signals(values))
    assert [w.partition(" says")[0] for w in warnings] == ["warning: view 0", "warning: view 1"]
