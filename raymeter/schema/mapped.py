"""Arrays that lie in mapped files: how their pages leave this process's memory."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np


def forget_pages(array: np.ndarray) -> None:
    """Take a mapped array's pages out of this process; they come back from its file when they are read.

    Nothing is lost and nothing happens to other arrays. The pages stay in the system's file cache, which gives them
    up when memory is short.
    """
    base: Any = array
    while isinstance(base, np.ndarray | memoryview):
        base = base.base if isinstance(base, np.ndarray) else base.obj
    if isinstance(base, mmap.mmap):
        base.madvise(mmap.MADV_DONTNEED)
