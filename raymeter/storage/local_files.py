"""Files of this machine: whole ones put in place at once, and their hashes."""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from pathlib import Path
from typing import BinaryIO


def checksum(path: Path, kind: str) -> str:
    """Hexadecimal md5 or sha256 of a file."""
    with path.open("rb") as file:
        return digest_of(file, kind)


def digest_of(file: BinaryIO, kind: str) -> str:
    """Hexadecimal md5 or sha256 of what an open file has from here on."""
    digest = hashlib.new(kind, usedforsecurity=False)
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def sha256(data: bytes | mmap.mmap) -> str:
    """Hexadecimal sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def replace_file(target: Path, data: bytes | mmap.mmap) -> None:
    """Write a file next to its place, and put it there when it is complete.

    Only its owner may read it (0600, as temporary files have it): run directories hold people's records, and what
    models know of them.
    """
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
