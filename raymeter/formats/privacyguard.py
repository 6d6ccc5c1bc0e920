"""PrivacyGuard: the frames that its RMIA attack takes, saved as df_train_merge, df_test_merge and df_population.

Parquet or CSV with columns user_id, score_orig (the target's true-class probability), score_ref_<i> and
member_ref_<i>. Training rows are the target's members. A column `score`, which an attack adds, is kept as scores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from raymeter.errors import DataError
from raymeter.formats.reading import names_in, numbers_in, read_table, truth, unique_ids, whole_numbers
from raymeter.formats.values import (
    Exported,
    Extras,
    File,
    Imported,
    PopulationSignals,
    assemble_signals,
    make_signals,
    one_view,
    parquet_file,
    probabilities,
    saturation_note,
)
from raymeter.schema.ids import Ids
from raymeter.schema.scores import Scores
from raymeter.schema.signals import Signals

PARTS = ("df_train_merge", "df_test_merge")
POPULATION = "df_population"
ID_COLUMNS = ("user_id", "separable_id")
REFERENCE = re.compile(r"score_ref_(\d+)")


def read(source: Path, extras: Extras) -> Imported:
    """Signals of one target and its reference models, from a directory with the saved frames.

    Raises:
        DataError: A frame or column is missing, a user has several rows, or ids are missing.
    """
    frames = {name: _frame(source, name) for name in PARTS}
    absent = [name for name, frame in frames.items() if frame is None]
    if absent:
        raise DataError(f"{source} has no {absent[0]}.parquet nor .csv; save PrivacyGuard's frames with df.to_parquet")
    train, test = (frame for frame in frames.values() if frame is not None)
    names = sorted((name for name in train.column_names if REFERENCE.fullmatch(name)), key=lambda n: int(n[10:]))
    if not names:
        has = "aggregates over reference models" if "score_mean" in " ".join(train.column_names) else "no score_ref_<i>"
        raise DataError(
            f"{source}/{PARTS[0]} has {has}: signals of single models are needed; final scores can be judged with "
            "`raymeter score` (columns id, score, member)"
        )
    kind = extras.kind or "prob"
    ids = _ids(train, test, extras)
    values = np.concatenate([_signals(frame, names, PARTS[i]) for i, frame in enumerate((train, test))])
    member = np.concatenate([_members(frame, names, PARTS[i], i == 0) for i, frame in enumerate((train, test))])
    pair = make_signals(values, kind, None, PARTS[0])
    population, outside = None, _frame(source, POPULATION)
    notes = saturation_note(pair)
    labels = np.concatenate([_labels(frame) for frame in (train, test)]) if _have((train, test), "label") else None
    if outside is not None:
        classes = _labels(outside) if labels is not None and "label" in outside.column_names else None
        signals_outside = _signals(outside, names, POPULATION)
        population = PopulationSignals(make_signals(signals_outside, kind, None, POPULATION), classes)
    else:
        notes.append(f"no {POPULATION}: RMIA and Attack-P need a population and cannot run")
    signals = assemble_signals(pair, member, ids, labels, population, targets=[0])
    scores = {}
    if _have((train, test), "score"):
        final = np.concatenate([_finite(frame, ["score"], PARTS[i]) for i, frame in enumerate((train, test))])
        scores["privacyguard"] = Scores("privacyguard", final, member[:, :1], ids, np.zeros(1, dtype=np.int64))
    return Imported(signals, {"kind": kind, "models": ["score_orig", *names]}, tuple(notes), scores)


def _frame(source: Path, name: str) -> pa.Table | None:
    path = next((path for end in ("parquet", "pq", "csv") if (path := source / f"{name}.{end}").is_file()), None)
    return None if path is None else read_table(path)


def _ids(train: pa.Table, test: pa.Table, extras: Extras) -> Ids:
    """Ids of training and then test rows: given, or of the frames."""
    rows = len(train) + len(test)
    if extras.ids is not None:
        if len(extras.ids) != rows:
            raise DataError(f"ids must name {rows} rows, training rows first, got {len(extras.ids)}")
        return unique_ids(extras.ids, "ids")
    column = next((name for name in ID_COLUMNS if name in train.column_names and name in test.column_names), None)
    if column is None:
        raise DataError(f"no column {' or '.join(ID_COLUMNS)} says which row is which record; add one, or give --ids")
    named = [names_in(frame, column, name) for frame, name in zip((train, test), PARTS, strict=True)]
    return unique_ids(np.concatenate(named), f"{column} (aggregate to one row for each)")


def _have(frames: tuple[pa.Table, ...], column: str) -> bool:
    return all(column in frame.column_names for frame in frames)


def _columns(frame: pa.Table, names: list[str], where: str) -> np.ndarray:
    absent = [name for name in names if name not in frame.column_names]
    if absent:
        raise DataError(f"{where} has no column {absent[0]!r}; every frame needs those of {PARTS[0]}")
    return np.stack([numbers_in(frame, name, where) for name in names], axis=1)


def _signals(frame: pa.Table, references: list[str], where: str) -> np.ndarray:
    return _finite(frame, ["score_orig", *references], where)


def _finite(frame: pa.Table, names: list[str], where: str) -> np.ndarray:
    """Columns without gaps; a gap is named by its own frame and row."""
    values = _columns(frame, names, where)
    bad = ~np.isfinite(values.astype(np.float64))
    if bad.any():
        rows = bad.any(axis=1)
        row = int(rows.argmax())
        raise DataError(
            f"{where}: {int(rows.sum())} of {len(values)} rows have missing or infinite values; the first is row "
            f"{row}, column {names[int(bad[row].argmax())]}; fill them in, or leave these users out"
        )
    return values


def _members(frame: pa.Table, names: list[str], where: str, trained: bool) -> np.ndarray:
    """Membership under the target and the reference models."""
    of = [name.replace("score_", "member_") for name in names]
    references = truth(_columns(frame, of, where), f"{where}: member_ref_<i>")
    return np.concatenate([np.full((len(frame), 1), trained), references], axis=1)


def _labels(frame: pa.Table) -> np.ndarray:
    return whole_numbers(_columns(frame, ["label"], "label")[:, 0], "label")


def write(signals: Signals) -> Exported:
    """The three frames for the first target and the models that may judge it."""
    matrix, population = signals.audit["log_prob"], signals.population["log_prob"]
    target, judges = int(matrix.targets[0]), np.flatnonzero(matrix.reference[0])

    def frame(values: np.ndarray, member: np.ndarray, ids: np.ndarray, labels: np.ndarray | None) -> bytes:
        columns = {"user_id": ids, "score_orig": values[:, target]}
        columns |= {f"score_ref_{i}": values[:, m] for i, m in enumerate(judges)}
        columns |= {f"member_ref_{i}": member[:, m] for i, m in enumerate(judges)}
        return parquet_file(columns if labels is None else {**columns, "label": labels})

    def files() -> Iterator[File]:
        values = probabilities(matrix.values)
        for name, rows in zip(PARTS, (matrix.member[:, target], ~matrix.member[:, target]), strict=True):
            labels = None if matrix.labels is None else matrix.labels[rows]
            yield f"{name}.parquet", frame(values[rows], matrix.member[rows], matrix.ids[rows], labels)
        if len(population.values):
            outside = probabilities(population.values)
            yield f"{POPULATION}.parquet", frame(outside, population.member, population.ids, population.labels)

    notes = [f"one target, model {target}, and the {len(judges)} models that may judge it, renumbered from 0"]
    if not len(population.values):
        notes.append("the run has no population: PrivacyGuard's RMIA needs one")
    return Exported(files(), (*notes, *one_view(signals)))
