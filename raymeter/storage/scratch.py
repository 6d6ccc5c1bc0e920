"""Arrays on this machine's disk: memory-mapped, so that only what is being worked on is in memory."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from raymeter.errors import StoreError
from raymeter.storage.run_store import RunStore


@contextmanager
def scratch_file(store: RunStore) -> Iterator[BinaryIO]:
    """A file without a name: it is gone when nothing has it open or mapped, however this process ends.

    It lies in the run directory where that is on this machine, for the system's own temporary directory may be
    in memory; else in the system's.

    Raises:
        StoreError: It cannot be made.
    """
    try:
        if store.is_local:
            Path(store.uri).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=store.uri if store.is_local else None) as file:
            yield file
    except OSError as error:
        raise StoreError(f"no scratch file in {store.name} ({error.strerror or error}); free some space") from None


def scratch_array(store: RunStore, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """A writable array of zeros in a scratch file.

    Raises:
        StoreError: The disk has no room for it.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if not size:
        return np.zeros(shape, dtype)
    with scratch_file(store) as file:
        file.truncate(size)
        if hasattr(os, "posix_fallocate"):  # a full disk shows here, and not by a signal later
            os.posix_fallocate(file.fileno(), 0, size)
        mapped = mmap.mmap(file.fileno(), size)
    return np.frombuffer(mapped, dtype).reshape(shape)
