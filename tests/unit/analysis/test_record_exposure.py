"""P-values and d' of records, against loops with SciPy's laws and numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import references
from scipy import stats

from raymeter.analysis.record_exposure import combined_p_values, d_prime, record_p_values
from raymeter.errors import SignalError
from raymeter.schema import SignalMatrix
from raymeter.training.split import pair_reference


def signals(records: int = 12, models: int = 10, queries: int = 1, leak: float = 1.0) -> SignalMatrix:
    """Complementary pairs, records of differing spread."""
    rng = np.random.default_rng(0)
    half = rng.random((records, models // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, models)
    spread = rng.gamma(4.0, 0.25, (records, 1, 1))
    values = (spread * rng.normal(size=(records, models, queries)) + leak * member[:, :, None]).astype(np.float32)
    return SignalMatrix("logit_gap", values, member, pair_reference(models))


def laws(found: SignalMatrix, record: int, t: int):
    """NIG predictive laws of both sides, from the formulas of science and SciPy's Student t."""
    made = {}
    for side in ("in", "out"):
        groups = [
            [float(found.values[r, m, 0]) for m in references(found, r, t, side)] for r in range(len(found.values))
        ]
        everything = np.concatenate(groups)
        pooled = sum(np.var(group) * len(group) for group in groups) / (len(everything) - len(groups))
        sample, n = np.array(groups[record]), len(groups[record])
        kappa, alpha = 0.05 + n, 2 + n / 2
        beta = pooled + 1e-12 + 0.5 * n * sample.var()
        beta += 0.5 * 0.05 * n * (sample.mean() - everything.mean()) ** 2 / kappa
        centre = (0.05 * everything.mean() + n * sample.mean()) / kappa
        made[side] = stats.t(2 * alpha, centre, np.sqrt(beta * (kappa + 1) / (alpha * kappa)))
    return made["in"], made["out"]


def test_record_p_values_are_the_mass_of_higher_statistics():
    """Each p-value equals the OUT mass of the points whose statistic is at least the target's, on a fine grid."""
    found = signals()
    got = record_p_values(found)
    quantiles = (np.arange(20000) + 0.5) / 20000
    for record, t in [(0, 0), (3, 5), (7, 2), (11, 9)]:
        inside, outside = laws(found, record, t)
        points = outside.ppf(quantiles)
        (_, centre_in, scale_in), (_, centre_out, scale_out) = inside.args, outside.args

        def statistic(x, a=centre_in, b=scale_in, c=centre_out, d=scale_out):
            return 0.5 * ((x - c) / d) ** 2 - 0.5 * ((x - a) / b) ** 2

        own = statistic(float(found.values[record, found.targets[t], 0]))
        assert got[record, t] == pytest.approx((statistic(points) >= own).mean(), abs=2e-4)


def test_equal_variances_give_a_one_sided_tail():
    """Signals on a grid that is the same on both sides, but for a shift: p is the upper tail of Student's t."""
    member = np.array([[True, False, True, False, True, False]] * 4)
    values = np.array([[9.0, 1.0, 4.0, 0.0, 6.0, 2.0]] * 4, dtype=np.float32)[:, :, None]
    reference = np.array([[False, True, True, True, True, True]])
    found = SignalMatrix("logit_gap", values, member, reference, targets=np.array([0]))
    reference[0, 1] = False
    got = record_p_values(found)[0, 0]
    _, outside = laws(found, 0, 0)
    assert got == pytest.approx(float(outside.sf(9.0)), rel=1e-6)


def test_queries_are_averaged_first():
    """Two views count as their mean."""
    found = signals(queries=2)
    mean = found.values.mean(axis=2, keepdims=True)
    np.testing.assert_allclose(
        record_p_values(found),
        record_p_values(SignalMatrix("logit_gap", mean, found.member, found.reference)),
        atol=1e-5,
    )


@pytest.mark.parametrize("size", [1e4, -1e4, 3e38, 0.0])
def test_extreme_targets_have_p_values(size):
    """A signal of ten thousand, or the largest float32, gives no NaN, no warning, and nothing beyond [0, 1]."""
    found = signals()
    found.values[:6, 0] = size
    found.values[6:8] = size
    got = record_p_values(found)
    assert ((got >= 0) & (got <= 1)).all()


def test_record_p_values_refuse_what_they_cannot_read():
    """Another kind, and a record without an IN reference, are errors."""
    found = signals()
    with pytest.raises(SignalError, match="p-values needs signals of kind logit_gap, got log_prob"):
        record_p_values(SignalMatrix("log_prob", -np.abs(found.values), found.member, found.reference))
    found.member[5, 2:] = False
    with pytest.raises(SignalError, match="p-values: record 5 has 0 references that are IN when model 0"):
        record_p_values(found)


def test_combined_p_values_by_hand():
    """One target leaves its p as it is, equal ones stay equal, and one tiny p among many survives times their number."""
    member = np.array([[True, False, False], [True, True, True], [True, True, True], [False, False, False]])
    p = np.array([[0.2, 0.9, 0.9], [0.3, 0.3, 0.3], [1e-12, 0.5, 0.5], [0.1, 0.1, 0.1]])
    got = combined_p_values(p, member)
    assert got[:3] == pytest.approx([0.2, 0.3, 3e-12], rel=1e-6)
    assert np.isnan(got[3])


def test_combined_p_values_survive_the_ends():
    """Zero and one are finite."""
    member = np.ones((3, 2), dtype=bool)
    got = combined_p_values(np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]), member)
    assert np.isfinite(got).all() and (got >= 0).all() and (got <= 1).all()


def test_combined_p_values_of_many_zeros_do_not_overflow():
    """Regression: the deviates of 13 or more p-values that underflowed to 0 summed to infinity, with a warning."""
    got = combined_p_values(np.zeros((1, 64)), np.ones((1, 64), dtype=bool))
    assert 0 < got[0] < 1e-300


def test_d_prime_matches_a_loop():
    """The distance of the means in units of the mean variance, over all models."""
    found = signals(queries=2)
    got = d_prime(found)
    for record in range(12):
        values = found.values[record].mean(axis=1, dtype=np.float64)
        inside, outside = values[found.member[record]], values[~found.member[record]]
        expected = (inside.mean() - outside.mean()) / np.sqrt((inside.var(ddof=1) + outside.var(ddof=1)) / 2)
        assert got[record] == pytest.approx(expected)


def test_d_prime_is_undefined_without_spread_or_with_one_model():
    """Constant signals, and a side with one model, have no d'."""
    found = signals(records=3)
    found.values[0] = 1.0
    found.member[1] = np.arange(10) < 1
    assert np.isnan(d_prime(found)[:2]).all()
    assert np.isfinite(d_prime(found)[2])
