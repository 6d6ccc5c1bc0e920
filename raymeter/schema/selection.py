"""Every cut of signals: some of the records, targets, models, references, views or the population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int64

from raymeter.schema.signals import QuantilePrediction, SignalMatrix, Signals

Rows: TypeAlias = slice | Int64[np.ndarray, " rows"]


def select(
    signals: Signals,
    *,
    records: Rows | None = None,
    targets: Int64[np.ndarray, " some_targets"] | None = None,
    references: Bool[np.ndarray, "targets models"] | None = None,
    models: Int64[np.ndarray, " some_models"] | None = None,
    views: int | None = None,
    population: Int64[np.ndarray, " some_population"] | None = None,
) -> Signals:
    """The part of the signals that is named, in every kind, in logits and predictions; what is not named stays whole.

    Args:
        records: Rows of the audited records; their signals are copied into memory.
        targets: Positions of the targets to be kept, in their new order.
        references: Who may judge each of the targets that are kept; by default who might before.
        models: Columns of the models to be kept, in their new order. Targets that are not among them go.
        views: The first so many views.
        population: Rows of the population.

    Raises:
        SignalError: The parts do not fit together, such as a target that may judge itself.
    """

    def cut(matrices: Mapping[str, SignalMatrix], rows: Rows | None) -> dict[str, SignalMatrix]:
        return {
            kind: select_matrix(
                matrix, records=rows, targets=targets, references=references, models=models, views=views
            )
            for kind, matrix in matrices.items()
        }

    return Signals(
        audit=cut(signals.audit, records),
        population=cut(signals.population, population),
        audit_logits=_some_logits(signals.audit_logits, records, models, views),
        population_logits=_some_logits(signals.population_logits, population, models, views),
        predicted={key: _some_predictions(part, records, models, views) for key, part in signals.predicted.items()},
        mapped=signals.mapped and records is None,
    )


def select_matrix(
    matrix: SignalMatrix,
    *,
    records: Rows | None = None,
    targets: Int64[np.ndarray, " some_targets"] | None = None,
    references: Bool[np.ndarray, "targets models"] | None = None,
    models: Int64[np.ndarray, " some_models"] | None = None,
    views: int | None = None,
) -> SignalMatrix:
    """The same of one kind of signals, see `select`.

    Which models may not judge one another (`apart`) is kept where targets or references go: models that are left out
    as references may still judge others.
    """
    values, member = _some_rows(matrix.values, records), _some_rows(matrix.member, records)
    attacked, reference, apart = matrix.targets, matrix.reference, matrix.apart
    if targets is not None or references is not None:
        apart = matrix.may_not_judge()
    if targets is not None:
        attacked, reference = attacked[targets], reference[targets]
    if references is not None:
        reference = references
    if models is not None:
        values, member = values[:, models], member[:, models]
        kept, attacked = _places(attacked, models)
        reference = reference[kept][:, models]
        apart = None if apart is None else apart[np.ix_(models, models)]
    return replace(
        matrix,
        values=values if views is None else values[:, :, :views],
        member=member,
        reference=reference,
        ids=matrix.ids if records is None else matrix.ids[records],
        labels=matrix.labels if records is None or matrix.labels is None else matrix.labels[records],
        targets=attacked,
        apart=apart,
    )


def with_targets(
    signals: Signals, targets: Int64[np.ndarray, " targets"], references: Bool[np.ndarray, "targets models"]
) -> Signals:
    """The same signals with other models attacked.

    Args:
        targets: Their columns.
        references: Who may judge each of them.
    """

    def attacked(matrices: Mapping[str, SignalMatrix]) -> dict[str, SignalMatrix]:
        return {kind: replace(matrix, targets=targets, reference=references) for kind, matrix in matrices.items()}

    return replace(signals, audit=attacked(signals.audit), population=attacked(signals.population))


def _some_rows(array: np.ndarray, rows: Rows | None) -> np.ndarray:
    """Rows in memory of their own; a slice alone would leave them in the file that a mapped array lies in."""
    if rows is None:
        return array
    return np.array(array[rows]) if isinstance(rows, slice) else array[rows]


def _some_logits(
    logits: np.ndarray | None, rows: Rows | None, models: Int64[np.ndarray, " some_models"] | None, views: int | None
) -> np.ndarray | None:
    if logits is None:
        return None
    chosen = _some_rows(logits, rows)
    chosen = chosen if models is None else chosen[:, models]
    return chosen if views is None else chosen[:, :, :views]


def _some_predictions(
    predicted: QuantilePrediction,
    rows: Rows | None,
    models: Int64[np.ndarray, " some_models"] | None,
    views: int | None,
) -> QuantilePrediction:
    """Predictions of all models that are left, attacked or not: they may be attacked in a target's place."""
    values, columns = _some_rows(predicted.values, rows), predicted.targets
    if models is not None:
        kept, columns = _places(columns, models)
        values = values[:, kept]
    return replace(predicted, values=values if views is None else values[:, :, :views], targets=columns)


def _places(
    columns: Int64[np.ndarray, " columns"], models: Int64[np.ndarray, " some_models"]
) -> tuple[Int64[np.ndarray, " kept"], Int64[np.ndarray, " kept"]]:
    """Which of some model columns are among those chosen, and where they are among them."""
    place = {int(column): i for i, column in enumerate(models)}
    kept = np.flatnonzero(np.isin(columns, models))
    return kept, np.array([place[int(column)] for column in columns[kept]], dtype=np.int64)
