"""Other tools' signals become a run directory, and a run's signals become another tool's; no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from raymeter.errors import DataError, StoreError
from raymeter.schema.selection import select

if TYPE_CHECKING:
    from raymeter.formats import Imported
    from raymeter.schema.signals import Signals
    from raymeter.storage.run_store import RunStore


IMPORT_VERSION = 1


def save(imported: Imported, about: Mapping[str, Any], store: RunStore) -> None:
    """Signals as a run directory: columns, then masks and index, so that an interrupted import is no run."""
    from raymeter.config.load import build_config
    from raymeter.formats.values import npy
    from raymeter.schema.signals import KINDS
    from raymeter.signals.stored import save_index
    from raymeter.storage.columns import save_column

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
    store.write_json("run.json", identity)
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
        raise DataError(f"--target: model {model} is no target of this run; choose one of {targets.tolist()}")
    order = np.concatenate([place, np.flatnonzero(targets != model)])
    return select(signals, targets=order)


def _refuse_full(store: RunStore, *marks: str) -> None:
    for mark in marks:
        if store.read(mark) is not None:
            raise StoreError(
                f"{store.name} holds a run already ({mark}); choose another --out, or delete that directory"
            )
