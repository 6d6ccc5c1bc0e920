"""Gates: conditions on metrics.json that end a command with a code of its own."""

from __future__ import annotations

import pytest

from raymeter.errors import ConfigError, DataError
from raymeter.report.gate import Gate, judge, parse_gates

AUC = {"estimate": 0.6, "low": 0.55, "high": 0.65, "sd": 0.01, "targets": 4}
ATTACKS = {
    "rmia": {"auc": AUC, "tpr_at_fpr": {"0.01": {**AUC, "resolvable": True}, "0.001": {**AUC, "resolvable": False}}},
    "my.own": {"auc": {**AUC, "estimate": None}, "targets": []},
}


@pytest.mark.parametrize(
    ("condition", "fails"),
    [
        ("rmia.auc.low > 0.55", False),
        ("rmia.auc.low >= 0.55", True),
        ("rmia.auc.high < .66", True),
        ("rmia.auc.estimate<=6e-1", True),
        ("rmia.tpr_at_fpr.0.01.high > 0.7", False),
        ("my.own.auc.low > 0", True),
    ],
)
def test_a_condition_that_holds_is_a_failure(condition, fails):
    """All four signs, keys with dots, numbers as people write them."""
    lines = judge(parse_gates([condition], ATTACKS), ATTACKS)
    assert len(lines) == fails
    assert all(line.startswith("failed: ") and "(it is 0." in line for line in lines)


def test_every_condition_is_judged():
    """Two fail, two lines."""
    gates = parse_gates(["rmia.auc.low > 0.5", "rmia.auc.low > 0.6", "rmia.auc.high > 0.5"])
    assert judge(gates, ATTACKS) == [
        "failed: rmia.auc.low > 0.5 (it is 0.5500)",
        "failed: rmia.auc.high > 0.5 (it is 0.6500)",
    ]
    assert gates[0] == Gate("rmia.auc.low", ">", 0.5)


@pytest.mark.parametrize(
    "text", ["", "rmia.auc.low", "rmia.auc.low = 0.5", "rmia.auc.low > x", "> 0.5", "a > 0.5 or b > 1"]
)
def test_what_is_no_condition_is_refused(text):
    """With an example of one."""
    with pytest.raises(ConfigError, match=r'--fail-if .*: expected a path, one of .*"rmia.auc.low > 0.55"'):
        parse_gates([text])


def test_an_attack_that_there_is_not_is_told_before_the_work():
    """Where the labels are known in advance."""
    with pytest.raises(ConfigError, match="there is no attack 'rmai'; did you mean rmia"):
        parse_gates(["rmai.auc.low > 0.5"], ATTACKS)


def test_a_metric_that_there_is_not_is_told_before_the_work():
    """A misspelt metric was told only when all models had been trained."""
    with pytest.raises(ConfigError, match="there is no metric 'acu'; did you mean auc"):
        parse_gates(["my.own.acu.low > 0.5"], ATTACKS)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("rmia.acu.low", "'acu' is not in rmia; did you mean auc"),
        ("rmia.auc.lo", "'lo' is not in rmia.auc; did you mean low"),
        ("rmia.auc", "rmia.auc is not a number; add .estimate, .low or .high"),
        ("rmia.auc.low.x", "rmia.auc.low has no parts"),
        ("my.own.auc.estimate", "my.own.auc.estimate is not a number"),
        ("my.own.targets", "my.own.targets is not a number; choose a figure"),
        ("rmia.tpr_at_fpr.0.001.low", "rmia.tpr_at_fpr.0.001 is not resolvable"),
    ],
)
def test_a_gate_that_cannot_be_judged_is_no_pass(path, message):
    """The line says how far the path leads."""
    with pytest.raises(DataError, match=message):
        judge([Gate(path, ">", 0.5)], ATTACKS)
