"""Parts of signals: each cut is what indexing by hand gives, in every kind, in logits and in predictions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymeter.errors import SignalError
from raymeter.schema import QuantilePrediction, SignalMatrix, Signals
from raymeter.schema.selection import select, select_matrix, with_targets
from raymeter.training.split import pair_reference

RECORDS, MODELS, VIEWS, CLASSES, OUTSIDE = 30, 8, 2, 3, 12
ATTACKED = np.array([0, 3, 6])


@pytest.fixture
def signals() -> Signals:
    """Three of eight models are targets; logits, and predictions for the targets and one model more."""
    rng = np.random.default_rng(0)
    half = rng.random((RECORDS, MODELS // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(RECORDS, MODELS)
    reference = pair_reference(MODELS)[ATTACKED]

    def part(member, first):
        ids, labels = np.arange(len(member)) + first, rng.integers(0, CLASSES, len(member))
        return {
            kind: SignalMatrix(
                kind,
                rng.normal(size=(*member.shape, VIEWS)).astype(np.float32),
                member,
                reference,
                ids,
                labels,
                ATTACKED,
            )
            for kind in ("log_prob", "logit_gap")
        }

    logits = [rng.normal(size=(n, MODELS, VIEWS, CLASSES)).astype(np.float32) for n in (RECORDS, OUTSIDE)]
    columns = np.array([0, 3, 5, 6])
    predicted = rng.normal(size=(RECORDS, len(columns), VIEWS, 2)).astype(np.float32)
    return Signals(
        part(member, 100),
        part(np.zeros((OUTSIDE, MODELS), dtype=bool), 500),
        *logits,
        {"recipe": QuantilePrediction("gaussian", predicted, targets=columns)},
        mapped=True,
    )


def equal(one: SignalMatrix, other: SignalMatrix) -> None:
    """Every array, and what the design says of who may judge whom."""
    for name in ("values", "member", "reference", "ids", "labels", "targets"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_array_equal(one.may_not_judge(), other.may_not_judge())


def test_nothing_named_leaves_all_as_it_is(signals):
    """No copy is made and nothing is lost, `mapped` included."""
    same = select(signals)
    for kind in signals.audit:
        equal(same.audit[kind], signals.audit[kind])
        equal(same.population[kind], signals.population[kind])
        assert same.audit[kind].values is signals.audit[kind].values
    assert same.audit_logits is signals.audit_logits and same.mapped
    assert same.predicted["recipe"].values is signals.predicted["recipe"].values


@pytest.mark.parametrize("rows", [slice(4, 9), np.array([2, 3, 20])], ids=["slice", "places"])
def test_some_records_are_copied_into_memory(signals, rows):
    """As blocks of mapped signals are attacked: the population stays whole, the copy is no view of the file."""
    part = select(signals, records=rows)
    for kind, matrix in signals.audit.items():
        cut = replace(
            matrix,
            values=matrix.values[rows],
            member=matrix.member[rows],
            ids=matrix.ids[rows],
            labels=matrix.labels[rows],
        )
        equal(part.audit[kind], cut)
        assert not np.shares_memory(part.audit[kind].values, matrix.values)
        equal(part.population[kind], signals.population[kind])
    np.testing.assert_array_equal(part.audit_logits, signals.audit_logits[rows])
    np.testing.assert_array_equal(part.predicted["recipe"].values, signals.predicted["recipe"].values[rows])
    np.testing.assert_array_equal(part.predicted["recipe"].targets, [0, 3, 5, 6])
    assert signals.mapped and not part.mapped


def test_some_targets_keep_all_models_and_predictions(signals):
    """As targets are spread over tasks; what the others say of who may judge whom is not forgotten."""
    places = np.array([2, 0])
    part = select(signals, targets=places)
    for cut, whole in ((part.audit, signals.audit), (part.population, signals.population)):
        for kind, matrix in whole.items():
            assert cut[kind].values is matrix.values
            np.testing.assert_array_equal(cut[kind].targets, [6, 0])
            np.testing.assert_array_equal(cut[kind].reference, matrix.reference[places])
            np.testing.assert_array_equal(cut[kind].may_not_judge(), matrix.may_not_judge())
    np.testing.assert_array_equal(part.predicted["recipe"].targets, [0, 3, 5, 6])
    assert part.mapped


def test_fewer_references_leave_alone_who_may_judge_whom(signals):
    """As a power curve and a sweep take references away."""
    fewer = signals.design.reference & (np.arange(MODELS) < 4)
    part = select(signals, references=fewer)
    for kind in signals.audit:
        np.testing.assert_array_equal(part.audit[kind].reference, fewer)
        np.testing.assert_array_equal(part.population[kind].reference, fewer)
        np.testing.assert_array_equal(part.audit[kind].may_not_judge(), signals.audit[kind].may_not_judge())


def test_some_targets_with_references_of_their_own(signals):
    """References are those of the targets that are kept, in their order."""
    references = np.ones((1, MODELS), dtype=bool)
    references[0, 6] = False
    part = select(signals, targets=np.array([2]), references=references)
    np.testing.assert_array_equal(part.design.targets, [6])
    np.testing.assert_array_equal(part.design.reference, references)
    references[0, 6] = True
    with pytest.raises(SignalError, match="a target may not be its own reference"):
        select(signals, targets=np.array([2]), references=references)


def test_limits_of_a_sweep_are_cut_together(signals):
    """Targets, references, views, records and population at once, by hand."""
    places, rows, outside = np.array([1, 2]), np.array([0, 7, 29]), np.array([1, 5])
    references = signals.design.reference[places] & (np.arange(MODELS) < 6)
    part = select(signals, records=rows, targets=places, references=references, views=1, population=outside)
    for kind, matrix in signals.audit.items():
        about = {"reference": references, "targets": ATTACKED[places], "apart": matrix.may_not_judge()}
        cut = replace(
            matrix,
            values=matrix.values[rows, :, :1],
            member=matrix.member[rows],
            ids=matrix.ids[rows],
            labels=matrix.labels[rows],
            **about,
        )
        equal(part.audit[kind], cut)
        np.testing.assert_array_equal(part.population[kind].values, signals.population[kind].values[outside, :, :1])
        np.testing.assert_array_equal(part.population[kind].ids, [501, 505])
    np.testing.assert_array_equal(part.audit_logits, signals.audit_logits[rows, :, :1])
    np.testing.assert_array_equal(part.population_logits, signals.population_logits[outside, :, :1])
    np.testing.assert_array_equal(part.predicted["recipe"].values, signals.predicted["recipe"].values[rows][:, :, :1])


def test_some_models_renumber_targets_references_and_predictions(signals):
    """In an order of their own; a target that is not among them goes, and so does its prediction."""
    columns = np.array([5, 6, 1, 0])
    part = select(signals, models=columns)
    for kind, matrix in signals.audit.items():
        np.testing.assert_array_equal(part.audit[kind].values, matrix.values[:, columns])
        np.testing.assert_array_equal(part.audit[kind].member, matrix.member[:, columns])
        np.testing.assert_array_equal(part.audit[kind].targets, [3, 1])  # models 0 and 6
        np.testing.assert_array_equal(part.audit[kind].reference, matrix.reference[[0, 2]][:, columns])
        np.testing.assert_array_equal(part.population[kind].values, signals.population[kind].values[:, columns])
    np.testing.assert_array_equal(part.population_logits, signals.population_logits[:, columns])
    predicted = part.predicted["recipe"]
    np.testing.assert_array_equal(predicted.targets, [3, 0, 1])  # of models 0, 5 and 6
    np.testing.assert_array_equal(predicted.values, signals.predicted["recipe"].values[:, [0, 2, 3]])


def test_apart_is_cut_with_the_models(signals):
    """Where it is given, not derived from the references."""
    apart = np.eye(MODELS, dtype=bool)
    apart[1, 2] = apart[2, 1] = True
    matrix = replace(signals.design, apart=apart)
    cut = select_matrix(matrix, models=np.array([2, 7, 1]))
    np.testing.assert_array_equal(cut.apart, [[True, False, True], [False, True, False], [True, False, True]])


def test_other_models_are_attacked_on_the_same_signals(signals):
    """As stand-ins are, in a target's place."""
    references = np.ones((1, MODELS), dtype=bool)
    references[0, [4, 5]] = False
    attacked = with_targets(signals, np.array([4]), references)
    for matrices in (attacked.audit, attacked.population):
        for matrix in matrices.values():
            np.testing.assert_array_equal(matrix.targets, [4])
            np.testing.assert_array_equal(matrix.reference, references)
    assert attacked.audit["log_prob"].values is signals.audit["log_prob"].values


def test_design_is_any_kind_of_the_audited_records(signals):
    """Masks, targets, ids and labels are the same in all of them."""
    assert signals.design is signals.audit["log_prob"]
