"""How much room the disk of a run directory has, and whether an error says that there is none left."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from raymeter.storage.run_store import RunStore

FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one in whose handling it was raised, is of a disk or a quota that is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def free_bytes(store: RunStore) -> int | None:
    """What may still be written where a run directory is, or will be; None where that is not known: of a bucket."""
    if not store.is_local:
        return None
    place = Path(store.uri)
    usage = shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.exists()))
    return usage.free if usage.total else None


def readable(size: int) -> str:
    """Bytes for people."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
