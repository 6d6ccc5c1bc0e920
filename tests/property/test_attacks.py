"""What must hold for every attack on any masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import rmia_inputs, signal_matrices

from raymeter.attacks import lira_scores, loss_scores, rmia_scores
from raymeter.schema import SignalMatrix

LIRA = [(mode, variance) for mode in ("online", "offline") for variance in ("nig", "per_sample", "global", "pooled")]
# A variance of 0 gives scores of the order of 1e6 times the signals' rounding.
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


def permuted_records(signals: SignalMatrix, order: np.ndarray) -> SignalMatrix:
    """The same records in another order."""
    return SignalMatrix(
        signals.kind,
        signals.values[order],
        signals.member[order],
        signals.reference,
        signals.ids[order],
        None,
        signals.targets,
    )


def permuted_models(signals: SignalMatrix, order: np.ndarray) -> SignalMatrix:
    """The same models in another order of columns, and the targets where they are now."""
    return SignalMatrix(
        signals.kind,
        signals.values[:, order],
        signals.member[:, order],
        signals.reference[:, order],
        signals.ids,
        None,
        np.argsort(order)[signals.targets].astype(np.int64),
    )


@pytest.mark.parametrize(("mode", "variance"), LIRA)
@given(signals=signal_matrices("logit_gap", ties=False), data=st.data())
def test_lira_follows_permutations(mode, variance, signals, data):
    """Permuting records permutes scores; permuting model columns changes nothing."""
    before = lira_scores(signals, mode=mode, variance=variance).values
    rows = np.array(data.draw(st.permutations(range(len(before)))))
    columns = np.array(data.draw(st.permutations(range(signals.values.shape[1]))))
    after = lira_scores(permuted_records(signals, rows), mode=mode, variance=variance)
    np.testing.assert_allclose(after.values, before[rows], **CLOSE)
    assert after.ids.tolist() == signals.ids[rows].tolist()
    after = lira_scores(permuted_models(signals, columns), mode=mode, variance=variance)
    np.testing.assert_allclose(after.values, before, **CLOSE)
    np.testing.assert_array_equal(after.member, signals.member[:, signals.targets])


@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("form", ["log_ratio", "count"])
@given(inputs=rmia_inputs(ties=False), data=st.data())
def test_rmia_follows_permutations(mode, form, inputs, data):
    """Permuting records or the population permutes scores or nothing; so for model columns."""
    signals, population = inputs
    before = rmia_scores(signals, population, mode=mode, form=form).values
    rows = np.array(data.draw(st.permutations(range(len(before)))))
    others = np.array(data.draw(st.permutations(range(len(population.values)))))
    columns = np.array(data.draw(st.permutations(range(signals.values.shape[1]))))
    after = rmia_scores(permuted_records(signals, rows), permuted_records(population, others), mode=mode, form=form)
    np.testing.assert_allclose(after.values, before[rows], **CLOSE)
    after = rmia_scores(permuted_models(signals, columns), permuted_models(population, columns), mode=mode, form=form)
    np.testing.assert_allclose(after.values, before, **CLOSE)


@given(signals=signal_matrices("log_prob"), data=st.data())
def test_loss_follows_permutations(signals, data):
    """Permuting records permutes scores; permuting model columns changes nothing."""
    before = loss_scores(signals).values
    rows = np.array(data.draw(st.permutations(range(len(before)))))
    columns = np.array(data.draw(st.permutations(range(signals.values.shape[1]))))
    np.testing.assert_array_equal(loss_scores(permuted_records(signals, rows)).values, before[rows])
    np.testing.assert_array_equal(loss_scores(permuted_models(signals, columns)).values, before)


@given(inputs=rmia_inputs(ties=False))
def test_rmia_count_orders_like_the_log_ratio(inputs):
    """With one view, a larger log-ratio score never has a smaller count."""
    signals, population = inputs
    one = SignalMatrix("log_prob", signals.values[:, :, :1], signals.member, signals.reference, targets=signals.targets)
    few = SignalMatrix("log_prob", population.values[:, :, :1], population.member)
    ratio, count = (rmia_scores(one, few, form=form).values for form in ("log_ratio", "count"))
    for t in range(ratio.shape[1]):
        assert (np.diff(count[np.argsort(ratio[:, t]), t]) >= 0).all()


@pytest.mark.parametrize(("mode", "variance"), LIRA)
@given(signals=signal_matrices("logit_gap", ties=False), data=st.data())
def test_models_that_may_not_judge_do_not_matter(mode, variance, signals, data):
    """For one target, anything may stand in the columns that are neither the target nor its references."""
    t = data.draw(st.integers(0, len(signals.targets) - 1))
    target, reference = signals.targets[t : t + 1], signals.reference[t : t + 1]
    hidden = ~reference[0]
    hidden[target] = False
    values, member = signals.values.copy(), signals.member.copy()
    values[:, hidden] = 7.25
    member[:, hidden] = ~member[:, hidden]
    before = lira_scores(signals, mode=mode, variance=variance).values[:, t]
    alone = SignalMatrix("logit_gap", values, member, reference, targets=target)
    np.testing.assert_allclose(lira_scores(alone, mode=mode, variance=variance).values[:, 0], before, **CLOSE)
