"""Every attack, in every mode, against its slow twin on masks that are not half-and-half."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from oracles import lira_oracle, loss_oracle, rmia_oracle
from strategies import rmia_inputs, signal_matrices

from raymeter.attacks import lira_scores, loss_scores, rmia_scores


@given(signal_matrices("log_prob"))
def test_loss_matches_loop_oracle(signals):
    """LOSS equals the mean over queries, cell by cell."""
    np.testing.assert_allclose(loss_scores(signals).values, loss_oracle(signals), rtol=1e-12)


@pytest.mark.parametrize("mode", ["offline", "online"])
@given(inputs=rmia_inputs())
def test_rmia_log_ratio_matches_loop_oracle(mode, inputs):
    """The log-ratio score equals the loop over all records, targets and population points."""
    signals, population = inputs
    got = rmia_scores(signals, population, mode=mode, offline_a=0.4)
    expected = rmia_oracle(signals, population, mode, [0.4] * len(signals.targets), 1.0, "log_ratio")
    np.testing.assert_allclose(got.values, expected, atol=1e-9)


@pytest.mark.parametrize("mode", ["offline", "online"])
@pytest.mark.parametrize("gamma", [1.0, 2.0])
@given(inputs=rmia_inputs(ties=False))
def test_rmia_count_matches_pairwise_oracle(mode, gamma, inputs):
    """The sorted count equals the pairwise one, where no ratios are tied up to rounding."""
    signals, population = inputs
    got = rmia_scores(signals, population, mode=mode, offline_a=0.4, gamma=gamma, form="count")
    expected = rmia_oracle(signals, population, mode, [0.4] * len(signals.targets), gamma, "count")
    np.testing.assert_allclose(got.values, expected, atol=1e-12)


@pytest.mark.parametrize("variance", ["nig", "per_sample", "global", "pooled"])
@pytest.mark.parametrize("mode", ["online", "offline"])
@given(signals=signal_matrices("logit_gap", ties=False))
def test_lira_matches_loop_oracle(mode, variance, signals):
    """LiRA equals the loop with SciPy's densities, for every variance."""
    got = lira_scores(signals, mode=mode, variance=variance).values
    np.testing.assert_allclose(got, lira_oracle(signals, mode, variance), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("variance", ["nig", "global", "pooled"])
@pytest.mark.parametrize("mode", ["online", "offline"])
@given(signals=signal_matrices("logit_gap", ties=True))
def test_lira_with_ties_matches_loop_oracle(mode, variance, signals):
    """Tied signals and constant columns, where variances can be 0, still give the loop's numbers."""
    got = lira_scores(signals, mode=mode, variance=variance).values
    np.testing.assert_allclose(got, lira_oracle(signals, mode, variance), rtol=1e-4, atol=1e-6)
