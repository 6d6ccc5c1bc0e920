"""Files that come to an end: reading a pipe or a device may never."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a directory",
}


def require_file(path: Path) -> Path:
    """The path of a file, or of a link to one.

    Raises:
        OSError: It is missing, or a pipe, a device, a socket or a directory; `strerror` says which.
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, f"it is {KINDS.get(kind, 'no file')}, and a file is needed", str(path))
    return path


def file_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        OSError: As `require_file`, or it cannot be read.
    """
    return require_file(path).read_bytes()
