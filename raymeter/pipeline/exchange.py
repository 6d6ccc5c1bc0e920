"""Other tools' signals become a run directory, and a run's signals become another tool's; no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raymeter.analysis.outside_results import direction
from raymeter.config.load import build_config
from raymeter.errors import DataError, StoreError
from raymeter.formats import FORMATS, Imported
from raymeter.formats.tables import write_scores
from raymeter.formats.values import npy
from raymeter.pipeline.extra_files import ExtraFiles
from raymeter.schema.selection import select
from raymeter.schema.signals import KINDS, Signals
from raymeter.signals.stored import load_signals, save_index
from raymeter.storage.columns import save_column
from raymeter.storage.run_store import RunStore

IMPORT_VERSION = 1
MARKS_OF_A_RUN = ("run.json", "signals/index.json", "models/memberships.npy")


@dataclass(frozen=True)
class ImportedRun:
    """What an import has written: the run directory's name, its signals, what to know of them, the files of scores."""

    place: str
    signals: Signals
    notes: tuple[str, ...]
    scores: tuple[str, ...]


@dataclass(frozen=True)
class ExportedRun:
    """Where an export is, and what the other layout leaves out."""

    place: str
    notes: tuple[str, ...]


def import_signals(source: str, layout: str, out: str, extras: ExtraFiles) -> ImportedRun:
    """Read another tool's files, check them, and write a run directory.

    Args:
        source: Path of what the other tool wrote.
        layout: A name of FORMATS.
        out: A directory or address without a run.
        extras: What the user adds.

    Raises:
        StoreError: There is a run already.
        DataError: The files are not what they are said to be.
    """
    store = RunStore.at(out)
    for mark in MARKS_OF_A_RUN:
        if store.read(mark) is not None:
            raise StoreError(
                f"{store.name} holds a run already ({mark}); choose another --out, or delete that directory"
            )
    imported = FORMATS[layout].read(Path(source), extras.load())
    about = {"format": layout, "source": source, **imported.about}
    if extras.batch_norm is not None:
        about["batch_norm"] = extras.batch_norm
    save(imported, about, store)
    for name, scores in imported.scores.items():
        store.write(f"scores/{name}.parquet", write_scores(scores))
    return ImportedRun(
        place=store.name,
        signals=imported.signals,
        notes=(*imported.notes, *direction(imported.signals.audit["logit_gap"])),
        scores=tuple(f"{store.name}/scores/{name}.parquet" for name in imported.scores),
    )


def export_signals(source: str, layout: str, out: str, target: int | None) -> ExportedRun:
    """Write a run's signals as another tool's files.

    Args:
        source: Directory or address of a finished audit, or of an import.
        layout: A name of FORMATS.
        out: A new or empty directory, or an address.
        target: The model that formats of one target have first; by default the run's first.

    Raises:
        StoreError: The directory is not empty, or the run is not finished.
        DataError: `target` is no target, or the layout cannot hold these signals.
    """
    store = RunStore.at(out)
    if Path(store.uri).is_dir() and any(Path(store.uri).iterdir()):
        raise StoreError(f"{store.uri} is not empty; choose a new --out")
    signals = load_signals(RunStore.at(source)).signals
    exported = FORMATS[layout].write(first_target(signals, target))
    for path, data in exported.files:
        store.write(path, data)
    return ExportedRun(store.uri, exported.notes)


def save(imported: Imported, about: Mapping[str, Any], store: RunStore) -> None:
    """Signals as a run directory: columns, then masks and index, so that an interrupted import is no run."""
    signals = imported.signals
    models = signals.audit[KINDS[0]].values.shape[1]
    columns: dict[str, list[str]] = {}
    for part, matrices in (("audit", signals.audit), ("population", signals.population)):
        columns[part] = [f"imported_{part}_{m}" for m in range(models)]
        for m, key in enumerate(columns[part]):
            save_column(store, key, np.stack([matrices[kind].values[:, m] for kind in KINDS]), {"imported": True})
    kept = {"logits_audit": signals.audit_logits, "logits_population": signals.population_logits}
    for part, logits in kept.items():
        if logits is not None:
            columns[part] = [f"imported_{part}_{m}" for m in range(models)]
            for m, key in enumerate(columns[part]):
                save_column(store, key, logits[:, m], {"imported": True})
    identity = {"store_version": IMPORT_VERSION, "imported": {**about, "notes": list(imported.notes)}}
    store.write("models/memberships.npy", npy(np.ascontiguousarray(signals.audit[KINDS[0]].member.T)))
    store.write_sealed("run.json", identity)
    config = build_config({"run": {"log_dir": store.uri}}).resolved()
    save_index(store, signals, columns, {**config, "imported": dict(about)})


def first_target(signals: Signals, model: int | None) -> Signals:
    """The signals with one target first, for formats that know a single one.

    Raises:
        DataError: That model is no target.
    """
    if model is None:
        return signals
    targets = signals.audit["log_prob"].targets
    place = np.flatnonzero(targets == model)
    if not place.size:
        raise DataError(f"--target: model {model} is not a target of this run; choose one of {targets.tolist()}")
    order = np.concatenate([place, np.flatnonzero(targets != model)])
    return select(signals, targets=order)
