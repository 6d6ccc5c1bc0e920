"""LOSS and what all attacks share: settings that refuse nonsense, errors that name the record."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from raymeter.attacks import ATTACKS, Lira, Loss, Rmia, lira_scores, loss_scores, rmia_scores
from raymeter.errors import SignalError
from raymeter.schema import SignalMatrix, Signals

MEMBER = np.array([[True, False, True, False], [False, True, True, False], [True, False, False, True]])


def matrix(kind: str, member: np.ndarray = MEMBER, queries: int = 2) -> SignalMatrix:
    """Signals of a few records, with ids 10, 11, ..."""
    values = -np.random.default_rng(0).random((*member.shape, queries)).astype(np.float32)
    return SignalMatrix(kind, values, member, ids=np.arange(10, 10 + len(member), dtype=np.int64))


def population(models: int = 4, kind: str = "log_prob") -> SignalMatrix:
    """Five records outside of all models."""
    return matrix(kind, np.zeros((5, models), dtype=bool))


def test_loss_scores_hand_values():
    """The score is the target's own mean log-probability, in the order of the targets."""
    values = np.array([[[-1.0, -3.0], [-0.5, -0.5]]], dtype=np.float32)
    signals = SignalMatrix("log_prob", values, np.array([[True, True]]), targets=np.array([1, 0]), reference=EYE2)
    assert loss_scores(signals).values.tolist() == [[-0.5, -2.0]]


EYE2 = np.array([[True, False], [False, True]])


def test_scores_carry_membership_ids_and_targets_in_target_order():
    """Members and targets are given per target, not per model column."""
    signals = matrix("log_prob")
    targets = np.array([2, 0])
    some = SignalMatrix("log_prob", signals.values, MEMBER, signals.reference[targets], signals.ids, targets=targets)
    scores = loss_scores(some)
    assert scores.member.tolist() == MEMBER[:, [2, 0]].tolist()
    assert (scores.ids.tolist(), scores.targets.tolist(), scores.attack) == ([10, 11, 12], [2, 0], "loss")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: loss_scores(matrix("logit_gap")), "LOSS needs signals of kind log_prob, got logit_gap"),
        (lambda: lira_scores(matrix("log_prob")), "LiRA needs signals of kind logit_gap, got log_prob"),
        (
            lambda: rmia_scores(matrix("logit_gap"), population()),
            "RMIA needs signals of kind log_prob, got logit_gap",
        ),
        (
            lambda: rmia_scores(matrix("log_prob"), population(kind="logit_gap")),
            "RMIA (population) needs signals of kind log_prob, got logit_gap",
        ),
    ],
)
def test_wrong_kind_is_named(call, message):
    """A signal of the wrong kind is refused, with the kind that is needed."""
    with pytest.raises(SignalError) as error:
        call()
    assert str(error.value) == message


@pytest.mark.parametrize("name", ATTACKS)
def test_pydantic_rejects_unknown_keys(name):
    """A typo in YAML fails, because every attack forbids unknown keys."""
    with pytest.raises(ValidationError, match="gama"):
        TypeAdapter(ATTACKS[name]).validate_python({"gama": 2})


@pytest.mark.parametrize("name", ATTACKS)
def test_pydantic_builds_the_defaults_from_nothing(name):
    """An attack that is only named gets the dataclass's defaults."""
    assert TypeAdapter(ATTACKS[name]).validate_python({}) == ATTACKS[name]()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Rmia(gamma=0.5), "gamma must be >= 1, got 0.5"),
        (lambda: Rmia(gamma=float("nan")), "gamma must be >= 1, got nan"),
        (lambda: Rmia(offline_a=1.5), "offline_a must be in [0, 1] or tuned, got 1.5"),
        (lambda: Rmia(offline_a="tunned"), "offline_a must be in [0, 1] or tuned, got tunned"),
        (lambda: Rmia(mode="off"), "mode must be one of offline, online, got off"),
        (lambda: Rmia(form="ratio"), "form must be one of log_ratio, count, got ratio"),
        (lambda: Lira(mode="Online"), "mode must be one of online, offline, got Online"),
        (lambda: Lira(variance="fixed"), "variance must be one of nig, per_sample, global, pooled, got fixed"),
        (
            lambda: lira_scores(matrix("logit_gap"), mode="onlin"),
            "mode must be one of online, offline, got onlin",
        ),
        (
            lambda: rmia_scores(matrix("log_prob"), population(), form="counts"),
            "form must be one of log_ratio, count, got counts",
        ),
    ],
)
def test_settings_out_of_range_are_named(build, message):
    """A setting that does not exist never silently means another one."""
    with pytest.raises(ValueError) as error:
        build()
    assert str(error.value) == message


def test_settings_call_the_functions_they_stand_for():
    """Each settings object picks its own signals and passes every field on."""
    signals = Signals(
        {"log_prob": matrix("log_prob", COMPLETE), "logit_gap": matrix("logit_gap", COMPLETE)},
        {"log_prob": population(6)},
    )
    logs, gaps, outside = signals.audit["log_prob"], signals.audit["logit_gap"], signals.population["log_prob"]
    pairs = [
        (Loss(), loss_scores(logs)),
        (
            Rmia("online", 0.5, 2.0, "count"),
            rmia_scores(logs, outside, mode="online", offline_a=0.5, gamma=2.0, form="count"),
        ),
        (Lira("offline", "pooled"), lira_scores(gaps, mode="offline", variance="pooled")),
    ]
    for attack, expected in pairs:
        np.testing.assert_array_equal(attack(signals).values, expected.values)
        assert attack(signals).settings == expected.settings


HALF = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=bool)
COMPLETE = np.stack([HALF, ~HALF], axis=2).reshape(5, 6)


def test_no_out_reference_names_record_and_target():
    """A record in every reference is named, with the target and the remedy."""
    member = COMPLETE.copy()
    member[3, 2:] = True
    with pytest.raises(SignalError) as error:
        rmia_scores(matrix("log_prob", member), population(6))
    assert str(error.value) == (
        "RMIA: record 13 has 0 references that are OUT when model 0 is attacked, 1 needed; train more models"
    )


def test_no_in_reference_points_to_offline():
    """Online attacks need IN references too, and say that offline does not."""
    member = COMPLETE.copy()
    member[0] = [False, True, False, False, False, False]
    signals = matrix("logit_gap", member)
    with pytest.raises(SignalError) as error:
        lira_scores(signals)
    assert str(error.value) == (
        "LiRA online nig: record 10 has 0 references that are IN when model 0 is attacked, 1 needed; "
        "train more models, or mode: offline"
    )
    assert np.isfinite(lira_scores(signals, mode="offline").values).all()


def test_per_sample_variance_of_one_reference_points_to_nig():
    """One value has no variance, which is an error that says how to go on."""
    member = np.array([[True, False, True, False], [True, False, False, True]])
    with pytest.raises(SignalError) as error:
        lira_scores(matrix("logit_gap", member, 1), variance="per_sample")
    assert str(error.value).endswith("2 needed; train more models, or use variance: nig")
