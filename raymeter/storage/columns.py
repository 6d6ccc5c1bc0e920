"""Signals of one model in a file: mapped columns on this machine."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from raymeter.errors import StoreError
from raymeter.schema.signals import RECORDS_AT_ONCE
from raymeter.storage.local_files import checksum
from raymeter.storage.run_store import RunStore
from raymeter.storage.scratch import scratch_array, scratch_file


def map_column(store: RunStore, key: str) -> np.ndarray | None:
    """One model's signals as a mapped file, or None where they are missing, incomplete or altered.

    Those of a store that is not on this machine are downloaded into a scratch file.
    """
    if not store.is_local:
        values = store.load_column(key)
        if values is None:
            return None
        mapped = scratch_array(store, values.shape, values.dtype)
        mapped[...] = values
        return mapped
    try:
        manifest = store.read_json(f"signals/{key}.json")
    except StoreError:
        return None
    path = Path(store.uri, f"signals/{key}.npy")
    if manifest is None or not path.is_file():
        return None
    if checksum(path, "sha256") != manifest.get("sha256"):
        return None
    column: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return np.asarray(column)


def save_column(store: RunStore, key: str, values: np.ndarray, about: Mapping[str, Any]) -> None:
    """Write one model's signals as `RunStore.save_column` does, to the same bytes, a few records at a time.

    Args:
        values: [kinds, records, queries], or [records, queries, classes] of logits; may be a view of anything.
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
        for outer in values if len(values) <= 2 else [values]:
            for start in range(0, len(outer), RECORDS_AT_ONCE):
                put(np.ascontiguousarray(outer[start : start + RECORDS_AT_ONCE]).data)
        file.flush()
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            store.write(f"signals/{key}.npy", data)
    store.write_json(f"signals/{key}.json", {**about, "sha256": digest.hexdigest()})
