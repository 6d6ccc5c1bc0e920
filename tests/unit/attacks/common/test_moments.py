"""The tuned offline_a against its slow twin, a mode regression, and sums over blocks of records."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import tuned_oracle

from raymeter.attacks import lira_scores, rmia, rmia_scores
from raymeter.attacks.common import stand_ins as tuning
from raymeter.attacks.common.moments import moments
from raymeter.schema import SignalMatrix


@pytest.mark.parametrize("seed", range(3))
def test_tuned_offline_a_matches_loop_oracle(seed):
    """The tuned a of each target equals a choice made from scratch with full RMIA scores."""
    rng = np.random.default_rng(seed)
    half = rng.random((12, 3)) < 0.5
    member = np.empty((12, 6), dtype=bool)
    member[:, ::2], member[:, 1::2] = half, ~half
    values = (-rng.gamma(2.0, 2.0, (12, 6, 1)) * np.where(member, 0.5, 1.0)[:, :, None]).astype(np.float32)
    keep = np.array([0, 3])
    reference = SignalMatrix("log_prob", values, member).reference[keep]
    signals = SignalMatrix("log_prob", values, member, reference, targets=keep)
    population = SignalMatrix("log_prob", values[:3], np.zeros((3, 6), dtype=bool))
    expected = tuned_oracle(signals, population, rmia.TUNING_GRID, tuning.STAND_INS)
    assert rmia_scores(signals, population, offline_a="tuned").settings["offline_a"] == expected


def test_lira_online_per_sample_is_not_the_offline_score():
    """Regression: `per_sample` has no prior, and that was taken to mean offline, so online scores were z-scores."""
    values = np.array([[3.0, 2.0, 4.0, -1.0, 1.0]], dtype=np.float32)[:, :, None]
    member = np.array([[False, True, True, False, False]])
    reference = np.array([[False, True, True, True, True]])
    signals = SignalMatrix("logit_gap", values, member, reference, targets=np.array([0]))
    # IN: mean 3, variance 1; OUT: mean 0, variance 1
    assert lira_scores(signals, mode="online", variance="per_sample").values[0, 0] == pytest.approx(4.5)
    assert lira_scores(signals, mode="offline", variance="per_sample").values[0, 0] == pytest.approx(3.0)


def test_blocks_do_not_change_the_numbers(monkeypatch):
    """Working on three records at a time gives what working on all at once gives."""
    rng = np.random.default_rng(0)
    half = rng.random((20, 4)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(20, 8)
    gaps = SignalMatrix("logit_gap", rng.normal(size=(20, 8, 2)).astype(np.float32), member)
    logs = SignalMatrix("log_prob", -rng.random((20, 8, 2)).astype(np.float32), member)
    population = SignalMatrix("log_prob", -rng.random((9, 8, 2)).astype(np.float32), np.zeros((9, 8), dtype=bool))

    def everything():
        yield from (lira_scores(gaps, variance=variance).values for variance in ("nig", "global", "pooled"))
        yield from (rmia_scores(logs, population, form=form).values for form in ("log_ratio", "count"))

    whole = list(everything())
    monkeypatch.setattr("raymeter.attacks.common.blocks.BLOCK_CELLS", 24)
    for expected, got in zip(whole, everything(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


def test_moments_survive_a_large_common_offset():
    """A variance of 1e-4 next to a mean of 1e6 is found to many digits, thanks to centring per record."""
    rng = np.random.default_rng(1)
    values = 1e6 + 1e-2 * rng.normal(size=(5, 9))
    found = moments(values, np.ones((5, 9), dtype=bool), np.ones((2, 9), dtype=bool))
    np.testing.assert_allclose(found.squares[:, 0], 9 * values.var(axis=1), rtol=1e-6)
    np.testing.assert_allclose(found.mean[:, 1], values.mean(axis=1), rtol=1e-14)
