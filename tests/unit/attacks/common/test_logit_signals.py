"""Signals made of logits: hand values, both ends of the number range, and what is missing is named."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.attacks import Entropy, Rmia, Softmax, audit_signal, entropy_scores, population_signal
from raymeter.attacks.common.logit_signals import (
    FROM_LOGITS,
    hinge_from,
    log_prob_from,
    neg_entropy_from,
    neg_modified_entropy_from,
)
from raymeter.errors import SignalError
from raymeter.schema import SignalMatrix, Signals

SOFTMAXES = [Softmax(t, k, m) for t in (0.5, 1.0, 4.0) for k in (0, 2, 8) for m in (0.0, 0.6)]


def with_logits(logits: np.ndarray, labels: np.ndarray | None = None) -> Signals:
    """Signals whose stored log_prob is zero, so that what is made from logits shows."""
    labels = np.zeros(len(logits), dtype=np.int64) if labels is None else labels
    member = np.zeros(logits.shape[:2], dtype=bool)
    member[:, ::2] = True
    stored = np.zeros(logits.shape[:3], dtype=np.float32)
    audit = SignalMatrix("log_prob", stored, member, ids=np.arange(len(logits)) + 70, labels=labels)
    outside = SignalMatrix("log_prob", stored, np.zeros_like(member), labels=labels)
    return Signals({"log_prob": audit}, {"log_prob": outside}, audit_logits=logits, population_logits=logits)


def test_taylor_weights_by_hand():
    """Degree 2: weights 1 + z + z^2 / 2 of 0, 1 and -1 are 1, 2.5 and 0.5."""
    got = log_prob_from(np.array([[0.0, 1.0, -1.0]]), np.array([1]), Softmax(taylor=2))
    assert got[0] == pytest.approx(np.log(2.5 / 4))


def test_soft_margin_by_hand():
    """The margin is taken off the true class's logit only."""
    got = log_prob_from(np.array([[1.0, 0.0]]), np.array([0]), Softmax(margin=0.6))
    assert got[0] == pytest.approx(-np.log1p(np.exp(-0.4)))


def test_temperature_by_hand():
    """Logits are divided by the temperature."""
    got = log_prob_from(np.array([[3.0, 1.0]]), np.array([1]), Softmax(temperature=2.0))
    assert got[0] == pytest.approx(-1 - np.log1p(np.exp(-1.0)))


def test_entropies_by_hand():
    """Two classes of one half: entropy log 2, modified entropy log 2 as well."""
    logits, labels = np.zeros((1, 2)), np.array([0])
    assert neg_entropy_from(logits, labels)[0] == pytest.approx(-np.log(2))
    assert neg_modified_entropy_from(logits, labels)[0] == pytest.approx(-np.log(2))
    assert hinge_from(np.array([[3.0, 5.0, 1.0]]), labels)[0] == -2.0


def test_modified_entropy_keeps_its_digits_for_a_confident_mistake():
    """p_y = exp(-50): the terms (1 - p_y) log p_y and p_j log(1 - p_j) are both -50."""
    assert neg_modified_entropy_from(np.array([[0.0, 50.0]]), np.array([0]))[0] == pytest.approx(-100.0)


@pytest.mark.parametrize("extreme", [1e4, -1e4, float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)])
@pytest.mark.parametrize("label", [0, 1])
def test_every_variant_is_finite_at_both_ends_of_float32(extreme, label):
    """No NaN, no infinity, no warning, as float32 too, for the largest logits that there are."""
    logits = np.array([extreme, 0.0, -extreme], dtype=np.float32)[None, None, None]
    signals = with_logits(np.repeat(logits, 4, axis=1), np.array([label]))
    for softmax in SOFTMAXES[1:]:
        assert np.isfinite(audit_signal(signals, "log_prob", softmax).values).all()
    for kind in FROM_LOGITS:
        assert np.isfinite(population_signal(signals, kind).values).all()


def test_the_plain_softmax_reads_what_is_stored():
    """log_prob at temperature 1 is the stored signal, not a second copy."""
    signals = with_logits(np.ones((3, 4, 1, 2), dtype=np.float32))
    assert audit_signal(signals, "log_prob") is signals.audit["log_prob"]
    assert audit_signal(signals, "log_prob", Softmax(2.0)).values == pytest.approx(-np.log(2))


def test_labels_of_each_record_are_used(monkeypatch):
    """Blocks of one record give what all at once gives."""
    logits = np.random.default_rng(0).normal(size=(6, 4, 2, 3)).astype(np.float32)
    signals = with_logits(logits, np.arange(6) % 3)
    whole = audit_signal(signals, "hinge").values
    expected = [hinge_from(logits[i].reshape(-1, 3), np.full(8, i % 3)).reshape(4, 2) for i in range(6)]
    np.testing.assert_array_equal(whole, np.array(expected, dtype=np.float32))
    monkeypatch.setattr("raymeter.attacks.common.logit_signals.BLOCK_CELLS", 1)
    np.testing.assert_array_equal(audit_signal(signals, "hinge").values, whole)


def test_missing_logits_are_named():
    """An attack that needs logits says how to get them."""
    signals = with_logits(np.ones((3, 4, 1, 2), dtype=np.float32))
    bare = Signals(signals.audit, signals.population)
    for attack in (Entropy(), Rmia(temperature=2.0)):
        assert attack.needs_logits
        with pytest.raises(SignalError, match="made from logits, which are not there; set audit.logits: true"):
            attack(bare)
    assert not Rmia().needs_logits


def test_logits_that_are_not_finite_name_the_record():
    """The first record with an infinite logit is named by its id."""
    logits = np.ones((3, 4, 1, 2), dtype=np.float32)
    logits[2, 1] = np.inf
    with pytest.raises(SignalError, match="the logits of record 72 are not finite"):
        audit_signal(with_logits(logits), "hinge")


def test_labels_beyond_the_classes_are_refused():
    """A label that has no logit is an error."""
    with pytest.raises(SignalError, match=r"labels must lie in 0..1 for logits of 2 classes, got 0..2"):
        audit_signal(with_logits(np.ones((3, 4, 1, 2), dtype=np.float32), np.arange(3)), "hinge")


def test_logits_of_another_shape_are_refused():
    """Logits belong to the same records, models and queries as the signals."""
    signals = with_logits(np.ones((3, 4, 1, 2), dtype=np.float32))
    with pytest.raises(SignalError, match="audit logits must be"):
        Signals(signals.audit, signals.population, audit_logits=np.ones((2, 4, 1, 2), dtype=np.float32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature must be > 0, got 0.0"),
        ({"taylor": 3}, r"taylor must be 0 \(exp\) or an even degree up to 8, got 3"),
        ({"taylor": 10}, "taylor must be 0"),
        ({"margin": -1.0}, "margin must be >= 0, got -1.0"),
    ],
)
def test_impossible_softmaxes_are_refused(settings, message):
    """A temperature of zero, an odd degree and a negative margin are errors, in Rmia too."""
    with pytest.raises(ValueError, match=message):
        Softmax(**settings)
    with pytest.raises(ValueError, match=message):
        Rmia(**settings)


def test_entropy_refuses_other_kinds():
    """A log_prob is no entropy."""
    matrix = with_logits(np.ones((3, 4, 1, 2), dtype=np.float32)).audit["log_prob"]
    with pytest.raises(SignalError, match="entropy needs signals of kind neg_entropy or neg_modified_entropy"):
        entropy_scores(matrix)
