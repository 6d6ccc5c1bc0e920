"""Conditions on the figures of a report: `rmia.auc.low > 0.55`."""

from __future__ import annotations

import operator
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raymeter.config.messages import suggest
from raymeter.errors import ConfigError, DataError

OPERATORS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
CONDITION = re.compile(rf"\s*(?P<path>[^<>=\s]+)\s*(?P<sign>>=|<=|>|<)\s*(?P<limit>{NUMBER})\s*")
EXAMPLE = '"rmia.auc.low > 0.55"'
METRICS = {"auc", "tpr_at_fpr", "thresholds", "targets", "pooled_auc_not_calibrated_across_targets"}  # of an attack


@dataclass(frozen=True)
class Gate:
    """One condition on which a command fails although it worked.

    Args:
        path: Attack, metric and figure, as metrics.json nests them: `rmia.auc.low`, `lira.tpr_at_fpr.0.01.estimate`.
        sign: One of OPERATORS.
        limit: What the figure is compared with.
    """

    path: str
    sign: str
    limit: float

    @property
    def attack(self) -> str:
        """The part before the first dot; an attack's label that has dots itself is longer."""
        return self.path.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.path} {self.sign} {self.limit:g}"


def parse_gates(texts: Sequence[str], attacks: Collection[str] = ()) -> list[Gate]:
    """Conditions as they are written on the command line.

    Args:
        texts: One condition each.
        attacks: Labels of the attacks that there will be; where given, a path must begin with one and a metric.

    Raises:
        ConfigError: One line that names the condition and the remedy.
    """
    gates = []
    for text in texts:
        match = CONDITION.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"--fail-if {text!r}: expected a path, one of {' '.join(OPERATORS)}, and a number: {EXAMPLE}"
            )
        gate = Gate(match["path"], match["sign"], float(match["limit"]))
        if attacks:
            _check_beginning(gate, text, attacks)
        gates.append(gate)
    return gates


def _check_beginning(gate: Gate, text: str, attacks: Collection[str]) -> None:
    """What can be known before the work: the attack and its metric."""
    attack = max((name for name in attacks if gate.path.startswith(f"{name}.")), key=len, default=None)
    if attack is None:
        raise ConfigError(
            f"--fail-if {text!r}: there is no attack {gate.attack!r}; {suggest(gate.attack, set(attacks))}"
        )
    metric = gate.path[len(attack) + 1 :].partition(".")[0]
    if metric not in METRICS:
        raise ConfigError(f"--fail-if {text!r}: there is no metric {metric!r}; {suggest(metric, METRICS)}")


def judge(gates: Sequence[Gate], attacks: Mapping[str, Any]) -> list[str]:
    """A line for each condition that holds, which is a failure; none where all is well.

    Args:
        gates: The conditions.
        attacks: `attacks` of metrics.json.

    Raises:
        DataError: A path leads nowhere, to no number, or to a rate that so few non-members cannot resolve; a gate
            that cannot be judged is never passed in silence.
    """
    lines = []
    for gate in gates:
        value = _figure(gate, attacks)
        if OPERATORS[gate.sign](value, gate.limit):
            lines.append(f"failed: {gate} (it is {value:.4f})")
    return lines


def _figure(gate: Gate, attacks: Mapping[str, Any]) -> float:
    here: Any = attacks
    rest, passed = gate.path, ""
    while rest:
        if not isinstance(here, Mapping):
            raise DataError(f"--fail-if {str(gate)!r}: {passed} has no parts; end the path there")
        # a key may hold dots itself, such as the rate 0.01
        key = next((k for k in sorted(here, key=len, reverse=True) if rest == k or rest.startswith(f"{k}.")), None)
        if key is None:
            name, where = rest.partition(".")[0], passed or "attacks"
            raise DataError(f"--fail-if {str(gate)!r}: {name!r} is not in {where}; {suggest(name, set(here))}")
        here, rest = here[key], rest[len(key) + 1 :]
        passed = f"{passed}.{key}" if passed else key
        if isinstance(here, Mapping) and here.get("resolvable") is False:
            raise DataError(
                f"--fail-if {str(gate)!r}: {passed} is not resolvable, the rate allows less than one false positive; "
                "ask for a higher rate, or audit more records"
            )
    if isinstance(here, bool) or not isinstance(here, int | float):
        remedy = "add .estimate, .low or .high" if isinstance(here, Mapping) and "low" in here else "choose a figure"
        raise DataError(f"--fail-if {str(gate)!r}: {passed} is not a number; {remedy}")
    return float(here)
