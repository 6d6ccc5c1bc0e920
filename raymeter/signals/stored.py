"""Signals of a finished audit, read back from its run directory without the data, the models or Ray.

<log_dir>/signals/masks.npz      who was a member, who may judge whom, ids and labels
<log_dir>/signals/index.json     which column belongs to which model, with the hashes of columns, masks and run.json,
                                 sealed (see storage/seals.py); written last
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from raymeter.errors import SignalError, StoreError, first_line
from raymeter.schema.array_files import arrays_in
from raymeter.schema.signals import KINDS, SignalMatrix, Signals
from raymeter.storage.columns import column_digest, load_column
from raymeter.storage.run_store import IDENTITY, RunStore
from raymeter.storage.seals import digest_of_record, sealed

INDEX_VERSION = 1
WAY_OUT = "run the audit again, models are reused"
COLUMN = re.compile(r"[A-Za-z0-9_.-]+")
UNFIT = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    OSError,
    EOFError,
    SignalError,
)
INDEX, MASKS = "signals/index.json", "signals/masks.npz"
KeysOfModels = Mapping[str, Sequence[str]]  # of the models 0, 1, 2, ..., by part


@dataclass(frozen=True)
class StoredAudit:
    """The signals of an audit, the configuration that it ran with, defaults included, and a hash of the former."""

    signals: Signals
    config: dict[str, Any]
    fingerprint: str


def save_index(store: RunStore, signals: Signals, columns: KeysOfModels, config: Mapping[str, Any]) -> None:
    """Write down how the stored columns make up the signals.

    Args:
        columns: For `audit` and `population`, and for `logits_audit` and `logits_population` where there are
            any, the keys of the columns of models 0, 1, 2, ...
        config: What the audit was asked for, as plain values.
    """
    audit, population = signals.audit[KINDS[0]], signals.population[KINDS[0]]
    arrays = {
        "member": audit.member,
        "reference": audit.reference,
        "targets": audit.targets,
        "audit_ids": audit.ids,
        "audit_labels": audit.labels,
        "population_ids": population.ids,
        "population_labels": population.labels,
    }
    buffer = io.BytesIO()
    known = {name: array for name, array in arrays.items() if array is not None}  # imported records may have no class
    np.savez_compressed(buffer, **known)  # type: ignore[arg-type]
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    index = {
        "version": INDEX_VERSION,
        "kinds": list(KINDS),
        "masks": digest,
        "columns": {part: list(keys) for part, keys in columns.items()},
        "hashes": {key: column_digest(store, key) for keys in columns.values() for key in keys},
        "run": _digest_of_run(store),
        "config": dict(config),
    }
    masks = store.read(MASKS)
    if store.read(INDEX) == sealed(INDEX, index) and masks is not None and hashlib.sha256(masks).hexdigest() == digest:
        return
    store.delete(INDEX)
    store.write(MASKS, buffer.getvalue())
    store.write_sealed(INDEX, index)


def load_signals(store: RunStore) -> StoredAudit:
    """Read the signals of a finished audit.

    Raises:
        StoreError: There are none, they are of another version or of another audit than run.json, or a file is missing
            or altered; each says what to do.
    """
    index = read_index(store)
    if "run" in index and _digest_of_run(store) not in ("", index["run"]):
        raise StoreError(f"{store.name}/{INDEX} is of another audit than {IDENTITY}; {WAY_OUT}")
    try:
        return _read(store, index)
    except UNFIT as error:
        raise StoreError(
            f"{store.name}/{INDEX} does not fit what is stored ({type(error).__name__}: {first_line(error)}); {WAY_OUT}"
        ) from None


def _read(store: RunStore, index: Mapping[str, Any]) -> StoredAudit:
    if index.get("version") != INDEX_VERSION or index.get("kinds") != list(KINDS):
        raise StoreError(f"{store.name}/{INDEX} was written by another version; {WAY_OUT}")
    data = store.read(MASKS)
    if data is None or hashlib.sha256(data).hexdigest() != index["masks"]:
        raise StoreError(f"{store.name}/{MASKS} is missing or altered; {WAY_OUT}")
    arrays = arrays_in(data)
    hashes = index.get("hashes", {})  # an earlier version's has none
    columns = {part: [_column(store, key, hashes.get(key)) for key in keys] for part, keys in index["columns"].items()}
    member = arrays["member"]
    nobody = np.zeros((len(arrays["population_ids"]), member.shape[1]), dtype=bool)
    judged = {"reference": arrays["reference"], "targets": arrays["targets"]}
    signals = Signals(
        audit=assemble(columns["audit"], member, ids=arrays["audit_ids"], labels=arrays.get("audit_labels"), **judged),
        population=assemble(
            columns["population"],
            nobody,
            ids=arrays["population_ids"],
            labels=arrays.get("population_labels"),
            **judged,
        ),
        audit_logits=_stack(columns.get("logits_audit")),
        population_logits=_stack(columns.get("logits_population")),
    )
    about = json.dumps([index["columns"], index["masks"]], sort_keys=True)
    return StoredAudit(signals, index["config"], hashlib.sha256(about.encode()).hexdigest())


def read_index(store: RunStore) -> dict[str, Any]:
    """The index of the stored signals.

    Raises:
        StoreError: There is none, as no audit has got so far in this directory.
    """
    index = store.read_sealed(INDEX, WAY_OUT)
    if index is None:
        raise StoreError(f"{store.name} holds no signals; run `python -m raymeter.audit` with this run.log_dir first")
    return index


def assemble(columns: Sequence[np.ndarray], member: np.ndarray, **masks: Any) -> dict[str, SignalMatrix]:
    """Columns [kinds, records, queries] of all models -> one SignalMatrix per kind.

    Args:
        masks: `reference`, `targets`, `ids` and `labels`, as in SignalMatrix.
    """
    return matrices(np.stack(columns, axis=2), member, **masks)


def matrices(
    values: Float32[np.ndarray, "kinds records models queries"],
    member: Bool[np.ndarray, "records models"],
    **masks: Any,
) -> dict[str, SignalMatrix]:
    """One SignalMatrix per kind; see `assemble`."""
    return {
        kind: SignalMatrix(kind=kind, values=values[position], member=member, **masks)
        for position, kind in enumerate(KINDS)
    }


def _stack(columns: Sequence[np.ndarray] | None) -> np.ndarray | None:
    return np.stack(columns, axis=1) if columns else None


def _digest_of_run(store: RunStore) -> str:
    """Hash of what run.json says; empty where there is none."""
    identity = store.read_sealed(IDENTITY, WAY_OUT)
    return "" if identity is None else digest_of_record(identity)


def _column(store: RunStore, key: str, digest: str | None) -> np.ndarray:
    if not COLUMN.fullmatch(key):
        raise ValueError("a column has no plain name")
    column = None if digest not in (None, column_digest(store, key)) else load_column(store, key)
    if column is None:
        raise StoreError(f"{store.name}/signals/{key}.npy is missing or altered; {WAY_OUT}")
    return column
