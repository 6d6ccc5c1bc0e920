"""What must hold for every ROC, AUC and interval, with or without ties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import auc_oracle, roc_oracle, tpr_oracle
from strategies import scored

from raymeter.stats import (
    auc,
    auc_figure,
    auc_interval,
    clopper_pearson,
    mean_over_targets,
    risk_rank,
    roc_curve,
    tpr_at_fpr,
    tpr_figure,
)


@given(scored())
def test_roc_curve_matches_counting(data):
    """Every point equals the one found by counting scores at or above its threshold."""
    np.testing.assert_allclose(np.stack(roc_curve(*data), axis=1), roc_oracle(*data), atol=1e-15)


@given(scored())
def test_roc_curve_is_monotone_from_corner_to_corner(data):
    """Rates never fall, thresholds always do; the curve joins (0, 0) and (1, 1)."""
    fpr, tpr, thresholds = roc_curve(*data)
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1], thresholds[0]) == (0, 0, 1, 1, np.inf)
    assert (np.diff(fpr) >= 0).all() and (np.diff(tpr) >= 0).all() and (thresholds[1:] < thresholds[:-1]).all()


@given(scored())
def test_auc_matches_pair_counting_and_the_area(data):
    """The midrank AUC is the share of ordered pairs, and the area under the curve."""
    fpr, tpr, _ = roc_curve(*data)
    area = float(((tpr[1:] + tpr[:-1]) / 2 * np.diff(fpr)).sum())
    assert auc(*data) == pytest.approx(auc_oracle(*data), abs=1e-12)
    assert auc(*data) == pytest.approx(area, abs=1e-12)


@given(scored())
def test_monotone_transforms_keep_the_auc(data):
    """Only the order of scores matters; the opposite order gives the complement."""
    scores, member = data
    _, places = np.unique(scores, return_inverse=True)
    assert auc(np.exp(places / 5.0), member) == pytest.approx(auc(scores, member), abs=1e-12)
    assert auc(-scores, member) == pytest.approx(1 - auc(scores, member), abs=1e-12)


@given(scored(), st.sampled_from([0.0, 0.001, 0.1, 0.25, 0.5, 1.0]))
def test_tpr_at_fpr_matches_trying_all_thresholds(data, fpr):
    """The step rule finds the best threshold that the allowed false positives leave."""
    scores, member = data
    got = tpr_at_fpr(scores, member, fpr)
    rate, _ = tpr_oracle(scores, member, int(fpr * (~member).sum()))
    assert got.estimate == pytest.approx(rate)
    assert got.false_positives <= fpr * (~member).sum()


@given(scored(), st.sampled_from([0.0, 0.01, 0.2, 1.0]), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_intervals_contain_the_estimate(data, fpr, confidence):
    """Every interval holds its estimate and lies within [0, 1]."""
    found = [auc_interval(*data, confidence), tpr_at_fpr(*data, fpr, confidence)]
    figures = [auc_figure(*data), auc_figure(-data[0], data[1])]
    found.append(mean_over_targets(figures, np.array([0, 1]), confidence))
    found.append(mean_over_targets([tpr_figure(*data, fpr)] * 2, np.array([0, 1]), confidence))
    for interval in found:
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1


@given(scored(), st.sampled_from([0.0, 0.05, 0.3]))
def test_more_confidence_gives_a_wider_interval(data, fpr):
    """99 % intervals hold the 90 % ones."""
    for narrow, wide in (
        (auc_interval(*data, 0.9), auc_interval(*data, 0.99)),
        (tpr_at_fpr(*data, fpr, 0.9), tpr_at_fpr(*data, fpr, 0.99)),
    ):
        assert wide.low <= narrow.low and narrow.high <= wide.high


@given(st.integers(1, 500), st.floats(0, 1))
def test_clopper_pearson_contains_the_estimate(trials, share):
    """The exact interval holds k / n, touches the ends only at k = 0 and k = n, and mirrors."""
    successes = round(share * trials)
    interval, mirror = clopper_pearson(successes, trials), clopper_pearson(trials - successes, trials)
    assert interval.low <= interval.estimate <= interval.high
    assert (interval.low == 0, interval.high == 1) == (successes == 0, successes == trials)
    assert interval.low == pytest.approx(1 - mirror.high, abs=1e-9)


@given(st.lists(st.tuples(st.sampled_from([np.nan, 0.0, 1.0, 2.5]), st.sampled_from([np.nan, 0.0, 1.0])), min_size=1))
def test_risk_rank_is_a_permutation(pairs):
    """Each rank is given once, also with ties and missing sides."""
    mean_in, mean_out = np.array(pairs).T
    assert sorted(risk_rank(mean_in, mean_out).tolist()) == list(range(1, len(pairs) + 1))
