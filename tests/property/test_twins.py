"""Every attack, in every mode, against its slow twin on masks that are not half-and-half."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import (
    base_oracle,
    calibrated_oracle,
    empirical_oracle,
    entropy_oracle,
    lira_oracle,
    log_prob_oracle,
    loss_oracle,
    population_oracle,
    rmia_oracle,
)
from strategies import rmia_inputs, signal_matrices

from raymeter.attacks import (
    Softmax,
    base_scores,
    calibrated_scores,
    empirical_scores,
    lira_scores,
    loss_scores,
    population_scores,
    rmia_grid,
    rmia_scores,
)
from raymeter.attacks.common.logit_signals import log_prob_from, neg_entropy_from, neg_modified_entropy_from


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


@given(inputs=rmia_inputs())
def test_population_matches_loop_oracle(inputs):
    """Attack-P equals counting, ties included."""
    np.testing.assert_allclose(population_scores(*inputs).values, population_oracle(*inputs), atol=1e-12)


@pytest.mark.parametrize("form", ["watson", "sablayrolles"])
@given(signals=signal_matrices("logit_gap"))
def test_calibrated_matches_loop_oracle(form, signals):
    """Difficulty calibration equals the loop."""
    np.testing.assert_allclose(
        calibrated_scores(signals, form=form).values, calibrated_oracle(signals, form), atol=1e-9
    )


@pytest.mark.parametrize("kind", ["logit_gap", "log_prob"])
@given(data=st.data())
def test_empirical_matches_loop_oracle(kind, data):
    """Attack-R equals counting, ties included."""
    signals = data.draw(signal_matrices(kind))
    np.testing.assert_allclose(empirical_scores(signals).values, empirical_oracle(signals), atol=1e-12)


@pytest.mark.parametrize("mode", ["online", "offline"])
@given(signals=signal_matrices("log_prob"))
def test_base_matches_loop_oracle(mode, signals):
    """BASE equals the loop."""
    np.testing.assert_allclose(base_scores(signals, mode=mode).values, base_oracle(signals, mode), atol=1e-9)


@given(inputs=rmia_inputs())
def test_base_online_is_rmia_online_up_to_a_constant_of_the_target(inputs):
    """The population only centres a target, so BASE online and RMIA online order its records alike."""
    difference = base_scores(inputs[0], mode="online").values - rmia_scores(*inputs, mode="online").values
    np.testing.assert_allclose(difference, np.broadcast_to(difference[0], difference.shape), atol=1e-9)


@pytest.mark.parametrize("form", ["log_ratio", "count"])
@given(inputs=rmia_inputs(ties=False))
def test_rmia_grid_is_rmia_at_every_a(form, inputs):
    """Many values of a in one pass give what one run for each gives."""
    grid = (0.0, 0.3, 1.0)
    for a, got in zip(grid, rmia_grid(*inputs, grid, form=form), strict=True):
        np.testing.assert_allclose(got, rmia_scores(*inputs, offline_a=a, form=form).values, atol=1e-12)


@given(
    logits=hnp.arrays(np.float32, (4, 5), elements=st.floats(-30, 30, width=32)),
    label=st.integers(0, 4),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    taylor=st.sampled_from([0, 2, 4, 8]),
    margin=st.sampled_from([0.0, 0.6]),
)
def test_log_prob_variants_match_their_definition(logits, label, temperature, taylor, margin):
    """Softmax, Taylor and soft-margin probabilities equal those of exact polynomials."""
    got = log_prob_from(logits, np.full(4, label), Softmax(temperature, taylor, margin))
    expected = [log_prob_oracle([float(v) for v in row], label, temperature, taylor, margin) for row in logits]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@given(logits=hnp.arrays(np.float32, (4, 3), elements=st.floats(-8, 8, width=32)), label=st.integers(0, 2))
def test_entropies_match_their_definition(logits, label):
    """Both entropies equal those computed from probabilities."""
    labels = np.full(4, label)
    rows = [[float(v) for v in row] for row in logits]
    plain, modified = neg_entropy_from(logits, labels), neg_modified_entropy_from(logits, labels)
    np.testing.assert_allclose(plain, [entropy_oracle(row, label, "plain") for row in rows], atol=1e-9)
    np.testing.assert_allclose(modified, [entropy_oracle(row, label, "modified") for row in rows], atol=1e-9)
