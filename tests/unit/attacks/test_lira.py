"""LiRA: hand values, the normal deviate of a t tail, and inputs that would break a careless formula."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import lira_oracle
from scipy import stats

from raymeter.attacks import lira_scores, loss_scores, rmia_scores
from raymeter.attacks.common.predictive_law import Law
from raymeter.schema import SignalMatrix
from raymeter.training.split import make_split

VARIANCES = ("nig", "per_sample", "global", "pooled")
MODES = ("online", "offline")


def signals(values: np.ndarray, kind: str = "logit_gap") -> SignalMatrix:
    """Signals [records, 8 models] of complementary pairs."""
    half = np.random.default_rng(0).random((len(values), 4)) < 0.5
    half[:3] = [[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]  # no two pairs alike, however few the records
    member = np.stack([half, ~half], axis=2).reshape(len(values), 8)
    return SignalMatrix(kind, values[:, :, None].astype(np.float32), member)


def test_lira_queries_are_summed_online_and_averaged_offline():
    """Two equal views double the online score and leave the offline z-score."""
    one = signals(np.random.default_rng(1).normal(size=(9, 8)))
    two = SignalMatrix("logit_gap", np.repeat(one.values, 2, axis=2), one.member)
    np.testing.assert_allclose(lira_scores(two).values, 2 * lira_scores(one).values, rtol=1e-12)
    offline = [lira_scores(matrix, mode="offline").values for matrix in (one, two)]
    np.testing.assert_allclose(offline[0], offline[1], rtol=1e-12)


@pytest.mark.parametrize("freedom", [5.0, 8.0, 36.0])
def test_t_deviate_is_close_to_the_exact_normal_one(freedom):
    """Wallace's approximation is within 1 % of the deviate with the same tail, out to 8 standard errors."""
    x = np.linspace(-8, 8, 41)[:, None]
    law = Law(np.zeros((41, 1)), np.ones((41, 1)), np.full((41, 1), freedom))
    exact = np.sign(x) * stats.norm.isf(stats.t.sf(np.abs(x), freedom))
    np.testing.assert_allclose(law.z_score(x), exact, rtol=0.01, atol=0.001)


def test_t_deviate_does_not_saturate():
    """Scores still grow where the tail probability has underflowed."""
    x = np.array([[1e3], [1e4], [1e5]])
    z = Law(np.zeros((3, 1)), np.ones((3, 1)), np.full((3, 1), 400.0)).z_score(x)
    assert stats.t.sf(x[-1, 0], 400.0) == 0.0
    assert (np.diff(z, axis=0) > 1).all()


def test_nig_works_with_one_reference_a_side():
    """The prior supplies what a single value cannot: a variance."""
    rng = np.random.default_rng(0)
    half = rng.random((30, 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(30, 4)
    matrix = SignalMatrix("logit_gap", rng.normal(size=(30, 4, 1)).astype(np.float32), member)
    for mode in MODES:
        assert np.isfinite(lira_scores(matrix, mode=mode, variance="nig").values).all()


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("mode", MODES)
def test_priors_of_a_target_do_not_use_its_own_pair(mode, variance):
    """Shared variances and prior means ignore the columns of the target and its complement, on other records too."""
    matrix = signals(np.random.default_rng(2).normal(size=(12, 8)))
    values, member = matrix.values.copy(), matrix.member.copy()
    values[1:, :2] = 50.0
    member[1:, :2] = ~member[1:, :2]
    changed = SignalMatrix("logit_gap", values, member, matrix.reference)
    before, after = (lira_scores(m, mode=mode, variance=variance).values[0, 0] for m in (matrix, changed))
    assert after == pytest.approx(before, rel=1e-9)


RNG = np.random.default_rng(3)
EXTREMES = {
    "huge": np.where(RNG.random((6, 8)) < 0.5, 1e4, -1e4),
    "constant": np.full((6, 8), 3.7),
    "constant at the edge": np.full((6, 8), -1e4),
    "constant models": np.tile(RNG.normal(size=8), (6, 1)),
    "one far away": np.where(np.arange(8) == 0, 1e4, RNG.normal(size=(6, 8)) * 1e-3),
    "zero": np.zeros((6, 8)),
}


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", EXTREMES)
def test_lira_is_finite_on_extreme_signals(case, mode, variance):
    """Ties, constant columns and gaps of 10000 give finite scores without a warning."""
    assert np.isfinite(lira_scores(signals(EXTREMES[case]), mode=mode, variance=variance).values).all()


@pytest.mark.parametrize("case", EXTREMES)
def test_loss_and_rmia_are_finite_on_extreme_signals(case):
    """Log-probabilities from 0 down to -20000 give finite scores without a warning."""
    matrix = signals(np.minimum(EXTREMES[case], 0) + np.minimum(EXTREMES[case][:, ::-1], 0), "log_prob")
    population = SignalMatrix("log_prob", matrix.values[::-1].copy(), np.zeros_like(matrix.member))
    assert np.isfinite(loss_scores(matrix).values).all()
    for settings in (
        {"mode": mode, "offline_a": a, "form": form}
        for mode in ("offline", "online")
        for form in ("log_ratio", "count")
        for a in (0.0, 0.3, 1.0, "tuned")
    ):
        assert np.isfinite(rmia_scores(matrix, population, **settings).values).all()


@pytest.mark.parametrize("variance", ["pooled", "nig"])
@pytest.mark.parametrize("mode", ["online", "offline"])
def test_one_reference_a_side_gives_scores_of_sane_size(mode, variance):
    """Two pairs leave no spread within a record; the pooled variance was then 1e-12 and scores were 1e13."""
    rng = np.random.default_rng(5)
    split = make_split(pool=40, population=1, models=4, targets=None, examples=None, seed=0)
    values = rng.normal(size=(40, 4, 1)).astype(np.float32)
    signals = SignalMatrix("logit_gap", values, split.member, split.reference)
    scores = lira_scores(signals, mode=mode, variance=variance).values
    assert np.abs(scores).max() < 100
    np.testing.assert_allclose(scores, lira_oracle(signals, mode, variance), rtol=1e-8, atol=1e-8)
