"""From one result to another, one thing at a time: what each of them does to the AUC of an attack; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from scipy.optimize import linear_sum_assignment

from raymeter.attacks import Attack
from raymeter.errors import SignalError
from raymeter.schema.results import MeanInterval
from raymeter.schema.scores import Scores
from raymeter.schema.selection import select, with_targets
from raymeter.schema.signals import SignalMatrix, Signals
from raymeter.stats import auc_figure, dependent_targets, mean_over_targets
from raymeter.stats.figures import figures_of

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


def common_rows(one: SignalMatrix, other: SignalMatrix) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the records that both have.

    Raises:
        SignalError: There is none.
    """
    ids, rows, other_rows = np.intersect1d(one.ids, other.ids, return_indices=True)
    if not len(ids):
        raise SignalError("the two results have no record in common; check that ids mean the same in both")
    return rows, other_rows


def common_models(
    one: SignalMatrix, other: SignalMatrix, rows: tuple[np.ndarray, np.ndarray]
) -> tuple[tuple[np.ndarray, np.ndarray], str]:
    """Columns of the models that both have, and how they were found: "same", "moved" or by "position".

    Two models are the same where they agree on the members but for a few. Inverted memberships look like models
    that changed places with their complements: the signals decide which it is.
    """
    member, other_member = one.member[rows[0]], other.member[rows[1]]
    signs, other_signs = (np.where(mask, np.float32(1), np.float32(-1)) for mask in (member, other_member))
    agreement = (signs.T @ other_signs) / (2 * len(member)) + 0.5
    position = np.arange(min(agreement.shape))
    if member.shape == other_member.shape and (np.diag(agreement) >= ALIKE).all():
        return (position, position), "same"
    columns, other_columns = linear_sum_assignment(-agreement)
    alike = agreement[columns, other_columns] >= ALIKE
    columns, other_columns = columns[alike], other_columns[alike]
    by_position = _distance(one, other, rows, (position, position)) if member.shape == other_member.shape else np.inf
    if len(columns) < 2 or by_position < _distance(one, other, rows, (columns, other_columns)):
        return (position, position), "position"
    return (columns, other_columns), "moved"


def _distance(
    one: SignalMatrix,
    other: SignalMatrix,
    rows: tuple[np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray],
) -> float:
    """Mean absolute difference of the first view's signals, where some models are taken for others."""
    values = one.values[np.ix_(rows[0], columns[0])][:, :, 0], other.values[np.ix_(rows[1], columns[1])][:, :, 0]
    return float(np.abs(values[0] - values[1]).mean())


def walk(a: Side, b: Side, label: str) -> Iterator[Step]:
    """From A's figure to B's, one thing at a time; steps in which nothing differs are left out."""
    before: MeanInterval | None = None
    previous: tuple[Attack, Signals] | None = None
    for what, attack, signals in _states(a, b, label):
        if previous is not None and previous[0] == attack and _equal(previous[1], signals):
            continue
        auc = _auc(attack, signals)
        known = before is not None and auc is not None
        yield Step(what, auc, auc.estimate - before.estimate if known and auc and before else None)
        before, previous = auc, (attack, signals)


def _states(a: Side, b: Side, label: str) -> Iterator[tuple[str, Attack, Signals]]:
    """What is taken from B, and with it an attack and the signals that it runs on: from A as it is to B as it is."""
    assert a.signals is not None and b.signals is not None
    gaps_a, gaps_b = a.signals.audit["logit_gap"], b.signals.audit["logit_gap"]
    rows = common_rows(gaps_a, gaps_b)
    columns, _ = common_models(gaps_a, gaps_b, rows)
    every_row, every_model = np.arange(len(gaps_a.ids)), np.arange(gaps_a.member.shape[1])
    attack, last = a.attacks[label], b.attacks[label]
    yield "A", attack, _part(a.signals, every_row, every_model)
    if len(rows[0]) < len(gaps_a.ids):
        yield "records in common", attack, _part(a.signals, rows[0], every_model)
    common_a, common_b = _part(a.signals, rows[0], columns[0]), _part(b.signals, rows[1], columns[1])
    yield "models in common", attack, common_a
    yield "settings", last, common_a
    common_a = with_targets(common_a, common_b.design.targets, common_b.design.reference)
    yield "references and targets", last, common_a
    yield "memberships", last, _with_members(common_a, common_b.design.member)
    yield "signals and population", last, common_b
    every_row, every_model = np.arange(len(gaps_b.ids)), np.arange(gaps_b.member.shape[1])
    if len(columns[1]) < gaps_b.member.shape[1]:
        yield "B's other models", last, _part(b.signals, rows[1], every_model)
    if len(rows[1]) < len(gaps_b.ids):
        yield "B's other records", last, _part(b.signals, every_row, every_model)


def _part(signals: Signals, rows: Int64[np.ndarray, " rows"], columns: Int64[np.ndarray, " columns"]) -> Signals:
    """Some records and models of signals; of the targets those among the models, judged as their masks alone say."""
    part = select(signals, records=rows, models=columns)

    def plain(matrices: Mapping[str, SignalMatrix]) -> dict[str, SignalMatrix]:
        return {kind: replace(matrix, apart=None) for kind, matrix in matrices.items()}

    return replace(part, audit=plain(part.audit), population=plain(part.population))


def _with_members(signals: Signals, member: Bool[np.ndarray, "records models"]) -> Signals:
    return replace(signals, audit={kind: replace(matrix, member=member) for kind, matrix in signals.audit.items()})


def _equal(one: Signals, other: Signals) -> bool:
    """Whether attacks read the same from both."""
    arrays, other_arrays = _read_by_attacks(one), _read_by_attacks(other)
    return arrays.keys() == other_arrays.keys() and all(map(_same_array, arrays.values(), other_arrays.values()))


def _same_array(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other if one is None or other is None else np.array_equal(one, other)


def _read_by_attacks(signals: Signals) -> dict[str, np.ndarray | None]:
    matrix, outside = signals.audit["logit_gap"], signals.population["logit_gap"]
    return {
        **{f"audit {kind}": of.values for kind, of in signals.audit.items()},
        **{f"population {kind}": of.values for kind, of in signals.population.items()},
        "member": matrix.member,
        "reference": matrix.reference,
        "targets": matrix.targets,
        "ids": matrix.ids,
        "labels": matrix.labels,
        "population labels": outside.labels,
        "audit logits": signals.audit_logits,
        "population logits": signals.population_logits,
    }


def _auc(attack: Attack, signals: Signals) -> MeanInterval | None:
    """Mean over targets; None where the attack cannot run on such a mixture."""
    design = signals.audit["logit_gap"]
    try:
        scores = attack(signals)
        clusters = dependent_targets(design.reference, design.targets)
        return mean_over_targets(figures_of(auc_figure, scores), clusters) if len(clusters) else None
    except SignalError:
        return None
