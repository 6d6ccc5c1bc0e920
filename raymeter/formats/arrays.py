"""One's own signals: an .npz with everything, or an .npy, .pt or Parquet file and further files with the matrices.

Arrays: `signals` [records, models] or [records, models, views] (logits: one axis of classes more), `member`
[records, models]; optional `ids`, `labels`, `population` under the same models, `population_labels`, `targets`.
A Parquet or CSV file has columns signal_<model> and member_<model>, and may have id and label.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raymeter.errors import DataError
from raymeter.formats.reading import (
    load_array,
    load_arrays,
    names_in,
    numbers_in,
    oriented,
    read_table,
    unique_ids,
    whole_numbers,
)
from raymeter.formats.values import (
    Exported,
    Extras,
    File,
    Imported,
    PopulationSignals,
    assemble_signals,
    make_signals,
    saturation_note,
)
from raymeter.schema.ids import as_ids
from raymeter.schema.signals import Signals

NAMES = ("signals", "member", "ids", "labels", "population", "population_labels", "targets")
EXPORTED = "signals.npz"
COLUMN = re.compile(r"signal_(\d+)")


def read(source: Path, extras: Extras) -> Imported:
    """Signals of a file, completed by what the user adds.

    Raises:
        DataError: Something is missing, or does not fit the signals.
    """
    arrays = {**_arrays_of(source), **dict(extras.members)}
    for name in ("ids", "labels"):
        if getattr(extras, name) is not None:
            arrays[name] = getattr(extras, name)
    unknown = sorted(set(arrays) - set(NAMES))
    if unknown:
        raise DataError(f"{source} has an array {unknown[0]!r}; known are {', '.join(NAMES)}")
    for name in ("signals", "member"):
        if name not in arrays:
            raise DataError(f"{source}: no {name}; add --members members.npy, or put the array {name!r} into the .npz")
    kind = extras.kind or "log_prob"
    values = arrays["signals"]
    if values.ndim < 2:
        raise DataError(
            f"{source}: signals must be [records, models], got {list(values.shape)}; one column is not enough"
        )
    records, models = values.shape[:2]
    labels = whole_numbers(arrays["labels"], "labels") if "labels" in arrays else None
    if labels is not None and len(labels) != records:
        raise DataError(f"labels must be of {records} records, got {len(labels)}")
    ids = as_ids(arrays["ids"], "ids") if "ids" in arrays else np.arange(records)
    if len(ids) != records:
        raise DataError(f"ids must name {records} records, got {len(ids)}")
    pair = make_signals(values, kind, labels, "signals")
    population = None
    if "population" in arrays:
        given = arrays.get("population_labels")
        classes = None if given is None else whole_numbers(given, "population_labels")
        population = PopulationSignals(make_signals(arrays["population"], kind, classes, "population"), classes)
    notes = saturation_note(pair)
    if population is None:
        notes.append("no population: RMIA and Attack-P cannot run (BASE is RMIA's log-ratio without one)")
    member = oriented(arrays["member"], records, models, "member")
    targets = [int(t) for t in whole_numbers(arrays["targets"], "targets")] if "targets" in arrays else None
    unknown_targets = [t for t in targets or () if not 0 <= t < models]
    if unknown_targets or targets == [] or len(set(targets or ())) < len(targets or ()):
        raise DataError(
            f"targets must be different models in 0..{models - 1}, got {targets}; leave targets out for all"
        )
    signals = assemble_signals(pair, member, unique_ids(ids, "ids"), labels, population, targets)
    return Imported(signals, {"kind": kind}, tuple(notes))


def _arrays_of(source: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name, or of the file that our own export wrote into a directory."""
    if source.is_dir():
        return load_arrays(source / EXPORTED)
    if source.suffix == ".npz":
        return load_arrays(source)
    if source.suffix not in (".parquet", ".pq", ".csv"):
        return {"signals": load_array(source)}
    table = read_table(source)
    numbers = sorted(int(match[1]) for name in table.column_names if (match := COLUMN.fullmatch(name)))
    if not numbers:
        raise DataError(f"{source} has no columns signal_0, signal_1, ...; name one for each model")
    arrays = {"signals": np.stack([numbers_in(table, f"signal_{m}", source) for m in numbers], axis=1)}
    masks = [f"member_{m}" for m in numbers if f"member_{m}" in table.column_names]
    if masks and len(masks) < len(numbers):
        raise DataError(
            f"{source} has {len(numbers)} columns signal_<model> and {len(masks)} member_<model>; add the rest"
        )
    if masks:
        arrays["member"] = np.stack([table.column(name).to_numpy(zero_copy_only=False) for name in masks], axis=1)
    if "id" in table.column_names:
        arrays["ids"] = names_in(table, "id", source)
    if "label" in table.column_names:
        arrays["labels"] = numbers_in(table, "label", source)
    return arrays


def write(signals: Signals) -> Exported:
    """One .npz with log-probabilities of all views, memberships, ids and classes."""
    matrix, population = signals.audit["log_prob"], signals.population["log_prob"]

    def files() -> Iterator[File]:
        arrays = {"signals": matrix.values, "member": matrix.member, "ids": matrix.ids, "targets": matrix.targets}
        if matrix.labels is not None:
            arrays["labels"] = matrix.labels
        if len(population.values):
            arrays["population"] = population.values
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        yield EXPORTED, buffer.getvalue()

    return Exported(files(), ("the file holds log-probabilities: import it with --kind log_prob, the default",))
