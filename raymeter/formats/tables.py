"""A table of scores: columns id, score, member, and optionally target and group; one row per record and target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raymeter.errors import DataError
from raymeter.formats.csv_files import no_numbers
from raymeter.formats.reading import names_in, read_table, truth
from raymeter.formats.values import parquet_file
from raymeter.schema.scores import Scores

NEEDED = ("id", "score", "member")
REMEDY = "it needs the columns id, score and member, and may have target and group"


@dataclass(frozen=True)
class ScoreTable:
    """Scores of one attack with the names that the table gave to records, targets and groups."""

    scores: Scores
    names: np.ndarray
    targets: np.ndarray
    groups: np.ndarray | None
    dropped: int = 0


def read_scores(
    path: Path, *, lower_means_member: bool = False, common: bool = False, name: str = "score"
) -> ScoreTable:
    """A table as scores [records, targets] in ascending order of the ids.

    Args:
        lower_means_member: The table's scores fall where membership is likelier; they are negated.
        common: Leave out records that not every target has, rather than refuse the table.

    Raises:
        DataError: A column is missing, a value is not what it must be, a record appears twice in a target, targets
            have different records, or a target has no members or no non-members; each says what to do.
    """
    table = read_table(path)
    missing = [column for column in NEEDED if column not in table.column_names]
    if missing:
        raise DataError(f"{path} has no column {missing[0]!r}; {REMEDY} (found: {', '.join(table.column_names)})")
    if not len(table):
        raise DataError(f"{path} has no rows; {REMEDY}")
    ids = names_in(table, "id", path)
    targets = names_in(table, "target", path) if "target" in table.column_names else np.zeros(len(ids), dtype=np.int64)
    values = _numbers(table, ids, path)
    member = truth(_plain(table, "member", path), f"{path}: member")
    names, record = np.unique(ids, return_inverse=True)
    target_names, target = np.unique(targets, return_inverse=True)
    _once(record, target, names, target_names, path)
    scored = np.zeros((len(names), len(target_names)), dtype=bool)
    scored[record, target] = True
    everywhere = scored.all(axis=1)
    if not common:
        _no_gaps(scored, names, target_names, path)
    scores, mask = np.zeros(scored.shape), np.zeros(scored.shape, dtype=bool)
    scores[record, target] = -values if lower_means_member else values
    mask[record, target] = member
    scores, mask = scores[everywhere], mask[everywhere]
    _both_sides(mask, target_names, path)
    groups = _groups(table, record, names, path)
    numbers = target_names if target_names.dtype.kind == "i" else np.arange(len(target_names))
    settings = {"lower_means_member": lower_means_member}
    return ScoreTable(
        scores=Scores(name, scores, mask, np.arange(len(scores)), numbers.astype(np.int64), settings),
        names=names[everywhere],
        targets=target_names,
        groups=None if groups is None else groups[everywhere],
        dropped=int((~everywhere).sum()),
    )


def write_scores(scores: Scores) -> bytes:
    """Scores as a Parquet table that `read_scores` reads."""
    records, targets = scores.values.shape
    columns = {
        "id": np.repeat(scores.ids, targets),
        "target": np.tile(scores.targets, records),
        "score": scores.values.ravel(),
        "member": scores.member.ravel(),
    }
    return parquet_file(columns)


def _plain(table: pa.Table, column: str, path: Path) -> np.ndarray:
    """A column without gaps."""
    cells = table.column(column)
    if cells.null_count:
        raise DataError(f"{path}: {cells.null_count} rows have no {column}; fill them or leave the rows out")
    values: np.ndarray = cells.to_numpy()
    return values


def _numbers(table: pa.Table, ids: np.ndarray, path: Path) -> np.ndarray:
    column = table.column("score")
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise DataError(f"{path}: score must be numbers, got {no_numbers(column)}")
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    bad = ~np.isfinite(values)
    if bad.any():
        first = int(bad.argmax())
        raise DataError(
            f"{path}: {int(bad.sum())} scores are not finite; the first is {values[first]} of record {ids[first]}; "
            "give each record a finite score, or leave its rows out"
        )
    numbers: np.ndarray = values
    return numbers


def _once(record: np.ndarray, target: np.ndarray, names: np.ndarray, targets: np.ndarray, path: Path) -> None:
    """Refuse two scores of a record and a target; `record` and `target` are positions in `names` and `targets`."""
    cell, count = np.unique(record * len(targets) + target, return_counts=True)
    if (count > 1).any():
        first = int(cell[int((count > 1).argmax())])
        where = f" in target {targets[first % len(targets)]}" if len(targets) > 1 else ""
        raise DataError(
            f"{path}: record {names[first // len(targets)]} comes {int(count.max())} times{where}; give one score for "
            "each, or name the targets in a column target"
        )


def _no_gaps(scored: np.ndarray, names: np.ndarray, targets: np.ndarray, path: Path) -> None:
    gaps = np.argwhere(~scored)
    if len(gaps):
        record, target = gaps[0]
        raise DataError(
            f"{path}: target {targets[target]} has no score of record {names[record]}, and "
            f"{int((~scored.all(axis=1)).sum())} records in all lack one; give every target the same records, or leave "
            "those out with --common-records"
        )


def _both_sides(member: np.ndarray, targets: np.ndarray, path: Path) -> None:
    for t, name in enumerate(targets):
        if member[:, t].all() or not member[:, t].any():
            which = "members" if member[:, t].any() else "non-members"
            raise DataError(f"{path}: all {len(member)} records of target {name} are {which}; it needs both kinds")


def _groups(table: pa.Table, record: np.ndarray, names: np.ndarray, path: Path) -> np.ndarray | None:
    """The group of each record, as text."""
    if "group" not in table.column_names:
        return None
    texts = np.array([str(value) for value in _plain(table, "group", path)])
    if (texts == "").any():
        raise DataError(f"{path}: {int((texts == '').sum())} rows have no group; fill them or leave the rows out")
    first = np.zeros(len(names), dtype=np.int64)
    first[record[::-1]] = np.arange(len(record))[::-1]
    other = np.flatnonzero(texts != texts[first[record]])
    if other.size:
        row = int(other[0])
        raise DataError(
            f"{path}: record {names[record[row]]} is in group '{texts[first[record[row]]]}' and in '{texts[row]}'; "
            "give each record one group"
        )
    return texts[first]


def about_names(table: ScoreTable) -> Mapping[str, Any]:
    """What the numbers of targets stand for, where the table has texts."""
    return {} if table.targets.dtype.kind == "i" else {"targets": {str(i): str(n) for i, n in enumerate(table.targets)}}
