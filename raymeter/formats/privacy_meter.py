"""Privacy Meter v2: <log_dir>/models/memberships.npy and <log_dir>/signals/{rmia,loss}_signals[_pop].npy.

Memberships are bool [models, records of the pool]; signals float32 [audited records, models], softmax
probabilities of the true class, whatever the algorithm is called. No file says which records were audited.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raymeter.errors import DataError
from raymeter.formats.reading import load_array, truth, unique_ids
from raymeter.formats.values import (
    Exported,
    Extras,
    File,
    Imported,
    PopulationSignals,
    assemble_signals,
    make_signals,
    npy,
    one_view,
    probabilities,
    saturation_note,
)
from raymeter.schema.ids import as_ids
from raymeter.schema.signals import Signals

ALGORITHMS = ("rmia", "loss")
RECORD_IDS = "signals/record_ids.npy"  # which our own export adds: the layout has no place for ids


def read(source: Path, extras: Extras) -> Imported:
    """Signals of a log directory.

    Raises:
        DataError: A file is missing, shapes disagree, values are no probabilities, or nothing says which records
            were audited.
    """
    there = (name for name in ALGORITHMS if (source / f"signals/{name}_signals.npy").is_file())
    name = next(there, None)
    if name is None:
        raise DataError(
            f"{source}/signals has no rmia_signals.npy nor loss_signals.npy; give Privacy Meter's log_dir of a "
            "finished audit (range audits, *_ramia_signals.npy, are not read)"
        )
    values = load_array(source / f"signals/{name}_signals.npy")
    memberships = truth(load_array(source / "models/memberships.npy"), f"{source}/models/memberships.npy")
    if values.ndim != 2 or memberships.ndim != 2 or len(memberships) != values.shape[1]:
        hint = " (it looks transposed)" if memberships.shape[-1] == values.shape[-1] else ""
        raise DataError(
            f"{source}: models/memberships.npy must be [models, records] for signals [records, models] = "
            f"{list(values.shape)}, got {list(memberships.shape)}{hint}"
        )
    rows, ids, notes = _ids(source, len(values), memberships.shape[1], extras)
    labels = None if extras.labels is None else _of_audited(extras.labels, rows, memberships.shape[1], "labels")
    pair = make_signals(values, extras.kind or "prob", labels, f"{name}_signals.npy")
    population = None
    if (source / f"signals/{name}_signals_pop.npy").is_file():
        outside = load_array(source / f"signals/{name}_signals_pop.npy")
        population = PopulationSignals(make_signals(outside, extras.kind or "prob", None, f"{name}_signals_pop.npy"))
    else:
        notes.append(f"no signals/{name}_signals_pop.npy: RMIA and Attack-P need a population and cannot run")
    signals = assemble_signals(pair, memberships[:, rows].T.copy(), ids, labels, population)
    about = {"signals": f"{name}_signals.npy", "kind": extras.kind or "prob"}
    return Imported(signals, about, (*notes, *saturation_note(pair)))


def _ids(source: Path, audited: int, pool: int, extras: Extras) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pool positions and ids of the audited records: given, or all of the pool in its order."""
    named = source / RECORD_IDS
    if extras.ids is None and audited == pool:
        rows = np.arange(pool)
        if named.is_file():
            return rows, unique_ids(as_ids(load_array(named), str(named)), str(named)), []
        return rows, rows, [f"all {pool} records of the pool were audited: their ids are their positions in it"]
    if extras.ids is None:
        raise DataError(
            f"{source}: {audited} of {pool} records were audited and no file says which; give --ids, an .npy with "
            "the positions that auditing_dataset.indices had"
        )
    ids = extras.ids
    if ids.dtype.kind != "i":
        raise DataError(
            f"ids must be positions in the pool, 0..{pool - 1}, got {str(ids[0])!r}; no names are known there"
        )
    if len(ids) != audited or ids.min(initial=0) < 0 or ids.max(initial=0) >= pool:
        raise DataError(f"ids must be {audited} positions in 0..{pool - 1}, got {len(ids)} in {ids.min()}..{ids.max()}")
    return unique_ids(ids, "ids"), ids, []


def _of_audited(values: np.ndarray, ids: np.ndarray, pool: int, what: str) -> np.ndarray:
    if len(values) not in (pool, len(ids)):
        raise DataError(
            f"{what} must be of all {pool} records of the pool, or of the {len(ids)} audited, got {len(values)}"
        )
    return values[ids] if len(values) == pool else values


def write(signals: Signals) -> Exported:
    """Signals as Privacy Meter caches them; the pool is the audited records, in ascending order of their ids.

    The ids themselves are added in `signals/record_ids.npy`.
    """
    matrix, population = signals.audit["log_prob"], signals.population["log_prob"]
    order = np.argsort(matrix.ids, kind="stable")

    def files() -> Iterator[File]:
        values = probabilities(matrix.values).astype(np.float32)
        yield "models/memberships.npy", npy(np.ascontiguousarray(matrix.member[order].T))
        records = {"num_train": 0, "model_path": None}
        content = {str(m): {**records, "num_train": int(matrix.member[:, m].sum())} for m in range(values.shape[1])}
        yield "models/models_metadata.json", (json.dumps(content, indent=2) + "\n").encode()
        yield RECORD_IDS, npy(matrix.ids[order])
        if len(population.values):
            outside = npy(probabilities(population.values).astype(np.float32))
            yield "signals/rmia_signals_pop.npy", outside
            yield "signals/loss_signals_pop.npy", outside
        for name in ALGORITHMS:
            yield f"signals/{name}_signals.npy", npy(values[order])

    rounded = int((probabilities(matrix.values).astype(np.float32) == 1).sum())
    lost = [f"{rounded} signals become a probability of exactly 1 in float32, as in Privacy Meter"] if rounded else []
    moved = "records are renumbered: signals/record_ids.npy has their ids here"
    return Exported(files(), (*one_view(signals), *lost, moved, "the models themselves are not exported"))
