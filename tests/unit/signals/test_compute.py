"""Logits to signals: exact at both ends, and only finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from raymeter.config.load import default_views
from raymeter.errors import SignalError
from raymeter.signals.compute import compute_signals, logit_gap, make_views

CPU = torch.device("cpu")


class Fixed(nn.Module):
    """Gives the same logits for every record."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits)

    def forward(self, x):
        return self.logits.expand(len(x), -1)


def signals(logits, label):
    x, y = np.zeros((1, 3), np.float32), np.array([label])
    return compute_signals([Fixed(logits)], x, y, ["identity"], CPU).values[:, 0, 0, 0]


def test_logit_gap_matches_its_formula():
    """The gap is the true-class logit minus logsumexp of the others."""
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    expected = 2.0 - np.log(np.exp(1.0) + np.exp(0.5))
    assert float(logit_gap(logits, torch.tensor([1]))) == pytest.approx(expected, rel=1e-6)


def test_log_prob_is_the_log_softmax():
    """log_prob is log softmax of the true class."""
    logits = [0.3, -1.2, 2.0, 0.1]
    expected = torch.log_softmax(torch.tensor(logits, dtype=torch.float64), 0)[0]
    assert signals(logits, 0)[0] == pytest.approx(float(expected), rel=1e-6)


def test_log_prob_keeps_its_digits_near_one():
    """A very confident prediction keeps a relative precision that 1 - p in float32 cannot hold."""
    log_prob, gap = signals([30.0, 0.0], 0)
    assert gap == pytest.approx(30.0)
    assert log_prob == pytest.approx(-np.exp(-30.0), rel=1e-5)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_signals_are_finite_for_extreme_logits(scale):
    """Logits of plus and minus ten thousand give finite signals."""
    assert np.isfinite(signals([scale, 0.0, 0.0], 0)).all()


def test_compute_signals_names_a_diverged_model():
    """A logit that is not a number is an error that says which model."""
    with pytest.raises(SignalError, match="model at position 0 gives a signal that is not finite for row 0"):
        signals([float("nan"), 0.0], 0)


def test_compute_signals_axes():
    """The result is [kinds, records, models, queries], one column per model and view."""
    x = np.arange(5 * 12, dtype=np.uint8).reshape(5, 1, 3, 4)
    models = [Fixed([1.0, 0.0]), Fixed([0.0, 1.0])]
    block = compute_signals(models, x, np.zeros(5, np.int64), ["identity", "mirror"], CPU, keep_logits=True)
    values = block.values
    assert block.logits.shape == (5, 2, 2, 2)
    assert block.logits[3, 1, 0].tolist() == [0.0, 1.0]
    assert values.shape == (2, 5, 2, 2)
    assert values.dtype == np.float32
    assert (values[1, :, 0] == 1.0).all()
    assert (values[1, :, 1] == -1.0).all()


def test_mirror_view_is_the_flipped_image():
    """The mirror view flips the last axis of the normalised image."""
    x = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 1, 4)
    plain, mirror = make_views(x, ["identity", "mirror"])
    torch.testing.assert_close(mirror, plain.flip(-1))


def test_default_views():
    """The mirror image is looked at where the models were trained on mirror images, and only of images."""
    assert default_views(True, mirrored_in_training=True) == ("identity", "mirror")
    assert default_views(True, mirrored_in_training=False) == ("identity",)
    assert default_views(False, mirrored_in_training=True) == ("identity",)
