"""QMIA's score: hand values, a loop over quantiles, and what is missing is named."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from raymeter.attacks import Qmia, qmia_scores
from raymeter.errors import SignalError
from raymeter.schema import QuantilePrediction, SignalMatrix, Signals

LEVELS = (0.1, 0.5, 0.9)


def signals(values: np.ndarray) -> SignalMatrix:
    """Values [examples, targets, queries] under as many models."""
    member = np.zeros(values.shape[:2], dtype=bool)
    return SignalMatrix("logit_gap", values.astype(np.float32), member, ids=np.arange(len(values)) + 30)


def pinball(quantiles: np.ndarray) -> QuantilePrediction:
    return QuantilePrediction("pinball", quantiles.astype(np.float32), LEVELS)


def test_gaussian_scores_by_hand():
    """(s - mean) / sd, averaged over queries."""
    expected = np.array([1.0, np.log(2.0)], dtype=np.float32) * np.ones((1, 1, 2, 2), dtype=np.float32)
    got = qmia_scores(signals(np.array([[[5.0, 1.0]]])), QuantilePrediction("gaussian", expected))
    assert got.values[0, 0] == pytest.approx((2.0 + 0.0) / 2)
    assert got.settings == {"head": "gaussian"}


@pytest.mark.parametrize(
    ("s", "deviate"), [(2.0, 0.0), (3.0, norm.ppf(0.9) / 2), (4.0, norm.ppf(0.9)), (0.0, -norm.ppf(0.9))]
)
def test_pinball_scores_by_hand(s, deviate):
    """At a quantile its normal deviate, between two the line between them."""
    got = qmia_scores(signals(np.full((1, 1, 1), s)), pinball(np.array([[[[0.0, 2.0, 4.0]]]])))
    assert got.values[0, 0] == pytest.approx(deviate, abs=1e-5)


def test_signals_beyond_the_quantiles_go_on_along_the_line():
    """No ties at the top: the slope of the last two quantiles holds beyond them."""
    got = qmia_scores(signals(np.array([[[6.0]], [[8.0]], [[-2.0]]])), pinball(np.tile([0.0, 2.0, 4.0], (3, 1, 1, 1))))
    assert got.values[:, 0] == pytest.approx(norm.ppf(0.9) * np.array([2, 3, -2]), abs=1e-4)


def test_pinball_scores_match_interpolation_and_rise_with_the_signal():
    """numpy.interp inside the quantiles, one cell at a time; strictly increasing everywhere, crossings sorted."""
    rng = np.random.default_rng(0)
    quantiles = rng.normal(size=(40, 3, 2, 3))
    values = np.sort(rng.normal(size=(40, 3, 2)), axis=0)
    got = qmia_scores(signals(values), pinball(quantiles)).values
    at = norm.ppf(LEVELS)
    for record in range(40):
        for t in range(3):
            cells = []
            for query in range(2):
                ordered, s = np.sort(quantiles[record, t, query]), values[record, t, query]
                segment = 1 if s >= ordered[1] else 0
                slope = (at[segment + 1] - at[segment]) / (ordered[segment + 1] - ordered[segment])
                cells.append(at[segment] + (s - ordered[segment]) * slope)
            assert got[record, t] == pytest.approx(np.mean(cells), rel=1e-3, abs=1e-3)
    same = qmia_scores(signals(values), pinball(np.tile(quantiles[:1], (40, 1, 1, 1)))).values
    assert (np.diff(same, axis=0) > 0).all()


def test_equal_quantiles_give_finite_scores():
    """A regressor that predicts one value for all levels is no division by zero."""
    values = np.array([[[1.0]], [[1.5]], [[np.finfo(np.float32).max]]])
    got = qmia_scores(signals(values), pinball(np.ones((3, 1, 1, 3)))).values
    assert np.isfinite(got).all() and (np.diff(got[:, 0]) > 0).all()


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (QuantilePrediction("gaussian", np.zeros((2, 1, 1, 2), np.float32)), "QMIA needs predictions"),
        (QuantilePrediction("gaussian", np.zeros((1, 1, 1, 3), np.float32)), r"got \(1, 1, 1, 3\)"),
        (QuantilePrediction("gaussian", np.full((1, 1, 1, 2), np.nan, np.float32)), "prediction for record 30 is not"),
        (QuantilePrediction("pinball", np.zeros((1, 1, 1, 2), np.float32), (0.9, 0.1)), "levels must ascend"),
    ],
)
def test_impossible_predictions_are_named(predicted, message):
    """Shape, finiteness and levels are checked."""
    with pytest.raises(SignalError, match=message):
        qmia_scores(signals(np.zeros((1, 1, 1))), predicted)


def test_attack_without_predictions_says_where_they_come_from():
    """Stored signals alone do not suffice."""
    matrix = signals(np.zeros((3, 2, 1)))
    with pytest.raises(SignalError, match="QMIA needs the predictions of its regressor"):
        Qmia()(Signals({"logit_gap": matrix}, {}))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("settings", [{"head": "linear"}, {"epochs": 0}, {"learning_rate": -1.0}])
def test_impossible_settings_are_refused(settings):
    """An unknown head and numbers that are not positive are errors."""
    with pytest.raises(ValueError, match=next(iter(settings))):
        Qmia(**settings)
