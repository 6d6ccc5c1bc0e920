"""From one result to another, one thing at a time: what each of them does to the AUC of an attack; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from scipy.optimize import linear_sum_assignment

from raymeter.attacks import Attack
from raymeter.errors import SignalError
from raymeter.schema.results import MeanInterval
from raymeter.schema.scores import Scores
from raymeter.schema.signals import SignalMatrix, Signals
from raymeter.stats import auc_interval, dependent_targets, mean_over_targets

ALIKE = 0.9  # share of the records on which two columns of members agree; of unrelated halves it is one half


@dataclass(frozen=True)
class Side:
    """One of the two results; signals are None where only final scores are known."""

    name: str
    signals: Signals | None = None
    attacks: Mapping[str, Attack] = field(default_factory=dict)
    scores: Mapping[str, Scores] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """The AUC after one more thing was taken from B; None where the attack cannot run on such a mixture."""

    what: str
    auc: MeanInterval | None
    change: float | None


@dataclass(frozen=True)
class Pieces:
    """What scores are made of, on records and models that both results have."""

    values: Mapping[str, np.ndarray]
    member: Bool[np.ndarray, "records models"]
    reference: Bool[np.ndarray, "targets models"]
    targets: Int64[np.ndarray, " targets"]
    population: Mapping[str, np.ndarray]
    logits: np.ndarray | None
    labels: np.ndarray | None
    ids: Int64[np.ndarray, " records"]
    outside: np.ndarray | None
    outside_labels: np.ndarray | None

    def signals(self) -> Signals:
        """As attacks take them.

        Raises:
            SignalError: They do not fit together.
        """
        judged: dict[str, Any] = {"reference": self.reference, "targets": self.targets}
        about: dict[str, Any] = {"ids": self.ids, "labels": self.labels, **judged}
        around: dict[str, Any] = {"labels": self.outside_labels, **judged}
        nobody = np.zeros((len(next(iter(self.population.values()))), self.member.shape[1]), dtype=bool)
        return Signals(
            audit={kind: SignalMatrix(kind, values, self.member, **about) for kind, values in self.values.items()},
            population={kind: SignalMatrix(kind, found, nobody, **around) for kind, found in self.population.items()},
            audit_logits=self.logits,
            population_logits=self.outside,
        )


def common_rows(one: SignalMatrix, other: SignalMatrix) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the records that both have.

    Raises:
        SignalError: There is none.
    """
    ids, mine, theirs = np.intersect1d(one.ids, other.ids, return_indices=True)
    if not len(ids):
        raise SignalError("the two results have no record in common; check that ids mean the same in both")
    return mine, theirs


def common_models(
    one: SignalMatrix, other: SignalMatrix, rows: tuple[np.ndarray, np.ndarray]
) -> tuple[tuple[np.ndarray, np.ndarray], str]:
    """Columns of the models that both have, and how they were found: "same", "moved" or by "position".

    Two models are the same where they agree on the members but for a few. Inverted memberships look like models
    that changed places with their complements: the signals tell which it is.
    """
    mine, theirs = one.member[rows[0]], other.member[rows[1]]
    signs = (np.where(mask, np.float32(1), np.float32(-1)) for mask in (mine, theirs))
    first, second = signs
    agreement = (first.T @ second) / (2 * len(mine)) + 0.5
    position = np.arange(min(agreement.shape))
    if mine.shape == theirs.shape and (np.diag(agreement) >= ALIKE).all():
        return (position, position), "same"
    found, place = linear_sum_assignment(-agreement)
    alike = agreement[found, place] >= ALIKE
    found, place = found[alike], place[alike]
    if len(found) < 2 or (mine.shape == theirs.shape and _closer(one, other, rows, position, found, place)):
        return (position, position), "position"
    return (found, place), "moved"


def _closer(
    one: SignalMatrix,
    other: SignalMatrix,
    rows: tuple[np.ndarray, np.ndarray],
    position: np.ndarray,
    found: np.ndarray,
    place: np.ndarray,
) -> bool:
    """Whether signals are more alike where models are taken by their position than where by their members."""

    def apart(mine: np.ndarray, theirs: np.ndarray) -> float:
        values = one.values[np.ix_(rows[0], mine)][:, :, 0], other.values[np.ix_(rows[1], theirs)][:, :, 0]
        return float(np.abs(values[0] - values[1]).mean())

    return apart(position, position) < apart(found, place)


def pieces(signals: Signals, rows: np.ndarray, columns: np.ndarray) -> Pieces:
    """Some records and models of signals; of the targets those among the models."""
    matrix = signals.audit["logit_gap"]
    attacked = np.flatnonzero(np.isin(matrix.targets, columns))
    place = {int(column): i for i, column in enumerate(columns)}
    outside = signals.population_logits
    return Pieces(
        values={kind: found.values[np.ix_(rows, columns)] for kind, found in signals.audit.items()},
        member=matrix.member[np.ix_(rows, columns)],
        reference=matrix.reference[np.ix_(attacked, columns)],
        targets=np.array([place[int(t)] for t in matrix.targets[attacked]], dtype=np.int64),
        population={kind: found.values[:, columns] for kind, found in signals.population.items()},
        logits=None if signals.audit_logits is None else signals.audit_logits[np.ix_(rows, columns)],
        labels=None if matrix.labels is None else matrix.labels[rows],
        ids=matrix.ids[rows],
        outside=None if outside is None else outside[:, columns],
        outside_labels=signals.population["logit_gap"].labels,
    )


def walk(a: Side, b: Side, label: str) -> Iterator[Step]:
    """From A's figure to B's, one thing at a time; steps in which nothing differs are left out."""
    assert a.signals is not None and b.signals is not None
    one, other = a.signals.audit["logit_gap"], b.signals.audit["logit_gap"]
    rows = common_rows(one, other)
    columns, _ = common_models(one, other, rows)
    every = [(np.arange(len(m.ids)), np.arange(m.member.shape[1])) for m in (one, other)]
    mine, theirs = pieces(a.signals, rows[0], columns[0]), pieces(b.signals, rows[1], columns[1])
    attack, last = a.attacks[label], b.attacks[label]
    states = [("A", attack, pieces(a.signals, *every[0]))]
    if len(rows[0]) < len(one.ids):
        states.append(("records in common", attack, pieces(a.signals, rows[0], every[0][1])))
    states.append(("models in common", attack, mine))
    states.append(("settings", last, mine))
    mine = replace(mine, reference=theirs.reference, targets=theirs.targets)
    states.append(("references and targets", last, mine))
    mine = replace(mine, member=theirs.member)
    states.append(("memberships", last, mine))
    states.append(("signals and population", last, theirs))
    if len(columns[1]) < other.member.shape[1]:
        states.append(("B's other models", last, pieces(b.signals, rows[1], every[1][1])))
    if len(rows[1]) < len(other.ids):
        states.append(("B's other records", last, pieces(b.signals, *every[1])))
    before: MeanInterval | None = None
    previous: tuple[Attack, Pieces] | None = None
    for what, way, made in states:
        if previous is not None and previous[0] == way and _equal(previous[1], made):
            continue
        auc = _auc(way, made)
        known = before is not None and auc is not None
        yield Step(what, auc, auc.estimate - before.estimate if known and auc and before else None)
        before, previous = auc, (way, made)


def _equal(one: Pieces, other: Pieces) -> bool:
    def same(x: Any, y: Any) -> bool:
        if isinstance(x, Mapping):
            return x.keys() == y.keys() and all(same(x[key], y[key]) for key in x)
        if x is None or y is None:
            return x is y
        return np.array_equal(x, y)

    return all(same(getattr(one, part.name), getattr(other, part.name)) for part in fields(one))


def _auc(attack: Attack, made: Pieces) -> MeanInterval | None:
    try:
        scores = attack(made.signals())
        found = [auc_interval(v, m) for v, m in zip(scores.values.T, scores.member.T, strict=True)]
    except SignalError:
        return None
    return mean_over_targets(found, dependent_targets(made.reference, made.targets)) if found else None
