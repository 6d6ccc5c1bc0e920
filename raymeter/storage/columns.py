"""Arrays in files of the run directory; above all columns, the signals of one model on one set of records.

<log_dir>/signals/<key>.npy     a column
<log_dir>/signals/<key>.json    its manifest, with the sha256 of the former, sealed (see seals.py); written last
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from raymeter.errors import StoreError
from raymeter.schema.signals import RECORDS_AT_ONCE
from raymeter.storage.local_files import digest_of
from raymeter.storage.run_store import RunStore
from raymeter.storage.scratch import scratch_array, scratch_file

NOTHING: Mapping[str, Any] = MappingProxyType({})


def save_column(store: RunStore, key: str, values: np.ndarray, about: Mapping[str, Any]) -> None:
    """Write one model's signals, then their manifest with the content hash.

    Args:
        key: Of the column; its file's name.
        values: [kinds, records, queries], or [records, queries, classes] of logits; may be a view of anything.
        about: What the manifest says besides the hash: which model, records and data.
    """
    digest = write_array(store, f"signals/{key}.npy", values)
    store.write_sealed(_manifest(key), {**about, "sha256": digest})


def column_digest(store: RunStore, key: str) -> str | None:
    """The content hash in a column's manifest; None where that is missing or damaged."""
    try:
        manifest = store.read_sealed(_manifest(key), "")
    except StoreError:
        return None
    digest = (manifest or {}).get("sha256")
    return digest if isinstance(digest, str) else None


def load_column(
    store: RunStore,
    key: str,
    *,
    mapped: bool = False,
    about: Mapping[str, Any] = NOTHING,
    say: Callable[[str], None] = lambda line: None,
) -> np.ndarray | None:
    """One model's signals, or None where they are missing, incomplete or altered.

    Args:
        key: Of the column.
        mapped: Whether they stay in a file: the column's own, or a scratch file where the store is not on this machine.
        about: What the manifest must say of them, as far as it does: those of earlier versions say less.
        say: Gets a line where there is something that is damaged or does not belong there.
    """
    path = f"signals/{key}.npy"
    try:
        manifest = store.read_sealed(_manifest(key), "it is not used")
    except StoreError as error:
        say(str(error))
        return None
    if manifest is None:
        return None
    other = next((name for name in about if name in manifest and manifest[name] != about[name]), None)
    if other is not None:
        say(f"{store.name}/{_manifest(key)} is of another {other}; it is not used")
        return None
    with store.opened(path) as file:
        if file is None or digest_of(file, "sha256") != manifest.get("sha256"):
            say(
                f"{store.name}/{path} is {'missing' if file is None else 'altered (its hash is wrong)'}; it is not used"
            )
            return None
        if mapped and store.is_local:
            return np.asarray(np.load(file.name, mmap_mode="r", allow_pickle=False))
        file.seek(0)
        values: np.ndarray = np.load(file, allow_pickle=False)
    if not mapped:
        return values
    copy = scratch_array(store, values.shape, values.dtype)
    copy[...] = values
    return copy


def _manifest(key: str) -> str:
    return f"signals/{key}.json"


def write_array(store: RunStore, path: str, values: np.ndarray) -> str:
    """Write an array as `numpy.save` does in C order, a few records at a time; returns the sha256 of the file.

    Raises:
        StoreError: It cannot be written.
    """
    digest = hashlib.sha256()
    with scratch_file(store) as file:

        def put(data: Any) -> None:
            file.write(data)
            digest.update(data)

        header = np.lib.format.header_data_from_array_1_0(np.empty((0,), values.dtype)) | {"shape": values.shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.seek(0)
        digest.update(file.read())
        # records are the second axis of signals, whose first are the two kinds
        for outer in values if values.ndim > 1 and len(values) <= 2 else [values]:
            for start in range(0, len(outer), RECORDS_AT_ONCE):
                put(np.ascontiguousarray(outer[start : start + RECORDS_AT_ONCE]).data)
        file.flush()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            store.write(path, data)
    return digest.hexdigest()
