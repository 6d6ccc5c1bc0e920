"""Quantile regressors learn a known law, on tiny data and in no time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raymeter.attacks.qmia import LEVELS, Qmia
from raymeter.signals.quantile_regressor import PublicRecords, fit_regressor

CPU = torch.device("cpu")
RECIPE = {"epochs": 60, "learning_rate": 0.003, "batch_size": 64}


def public(records: int = 600, seed: int = 0) -> PublicRecords:
    """Signal = 5 + 3 x + class, with a noise that grows with the class: a heteroscedastic law."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(records, 2)).astype(np.float32), rng.integers(0, 2, records)
    signal = 5 + 3 * x[:, 0] + y + (0.5 + y) * rng.normal(size=records)
    return PublicRecords(x, y, signal[:, None].astype(np.float32))


@pytest.fixture(autouse=True)
def one_thread():
    """Two threads of torch on tiny matrices wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_gaussian_head_learns_mean_and_spread():
    """On fresh records: residuals are small against the noise, and the predicted spread is near the true one."""
    regressor = fit_regressor(public(), Qmia(**RECIPE), ["identity"], 2, CPU, seed=0)
    fresh = public(seed=1)
    mean, log_sd = regressor.predict(fresh.x, fresh.y, ["identity"], CPU)[:, 0].T
    truth = 5 + 3 * fresh.x[:, 0] + fresh.y
    assert np.abs(mean - truth).mean() < 0.35
    for label in (0, 1):
        assert np.exp(log_sd[fresh.y == label]).mean() == pytest.approx(0.5 + label, rel=0.3)


def test_pinball_head_covers_what_it_says():
    """Among fresh records about 90 % are below the predicted 90 % quantile, and so on."""
    regressor = fit_regressor(public(), Qmia(head="pinball", **RECIPE), ["identity"], 2, CPU, seed=0)
    fresh = public(seed=1)
    quantiles = regressor.predict(fresh.x, fresh.y, ["identity"], CPU)[:, 0]
    assert quantiles.shape == (600, len(LEVELS))
    below = (fresh.signal <= quantiles).mean(axis=0)
    np.testing.assert_allclose(below, LEVELS, atol=0.08)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    """Weights, order and held-out records derive from the seed; torch's own generator is left alone."""
    state = torch.random.get_rng_state()
    first, second, other = (
        fit_regressor(public(80), Qmia(epochs=3), ["identity"], 2, CPU, seed=seed).predict(
            public(80).x, public(80).y, ["identity"], CPU
        )
        for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()
    assert torch.equal(state, torch.random.get_rng_state())


def test_dropout_derives_from_the_seed():
    """AlexNet's dropout once drew from torch's own generator: equal seeds gave other bits."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (24, 1, 8, 8), dtype=np.uint8)
    records = PublicRecords(x, rng.integers(0, 2, 24), rng.normal(size=(24, 1)).astype(np.float32))
    state = torch.random.get_rng_state()
    first, second = (
        fit_regressor(records, Qmia(model="alexnet", epochs=2), ["identity"], 2, CPU, seed=0).predict(
            x, records.y, ["identity"], CPU
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state())


def test_outliers_and_constant_signals_stay_finite():
    """A signal of 1e30 among ordinary ones, all signals equal, and a single record are no trouble."""
    wild = public(60)
    wild.signal[3] = 1e30
    equal = PublicRecords(wild.x, wild.y, np.ones((60, 1), np.float32))
    alone = PublicRecords(wild.x[:1], wild.y[:1], np.ones((1, 1), np.float32))
    for records in (wild, equal, alone):
        for head in ("gaussian", "pinball"):
            regressor = fit_regressor(records, Qmia(head=head, epochs=3), ["identity"], 2, CPU, seed=0)
            assert np.isfinite(regressor.predict(wild.x, wild.y, ["identity"], CPU)).all()


def test_views_are_queries():
    """Images are predicted once for each view, by what that view looks like."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (20, 1, 4, 4), dtype=np.uint8)
    records = PublicRecords(x, rng.integers(0, 2, 20), rng.normal(size=(20, 2)).astype(np.float32))
    regressor = fit_regressor(records, Qmia(epochs=1), ["identity", "mirror"], 2, CPU, seed=0)
    found = regressor.predict(x, records.y, ["identity", "mirror"], CPU)
    assert found.shape == (20, 2, 2)
    flipped = regressor.predict(np.ascontiguousarray(x[..., ::-1]), records.y, ["identity"], CPU)
    np.testing.assert_allclose(found[:, 1], flipped[:, 0], atol=1e-5)
