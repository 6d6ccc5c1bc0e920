"""Arrays from .npy and .npz files of anyone's, without unpickling; what a header claims is checked first.

A header may claim more values than the file holds, and an archive may unpack to a thousand times its size: both are
refused before memory is taken for them.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.lib import format as npy

UNPACKED = 2**30  # bytes that an archive may unpack to however small it is
EXPANSION = 200  # times its own size that a larger one may: zeros and ones of real tables reach 30, bombs 1,000
SUFFIX = ".npy"
OF_ZIP = b"PK"
READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

PICKLED = "it holds pickled Python objects"
OF_ZLIB = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)  # of damaged archives


def array_of(file: io.BufferedIOBase) -> np.ndarray:
    """The array of a .npy file.

    Args:
        file: Open, at its start, and one that can be sought.

    Raises:
        ValueError: It is no such file, holds pickled objects (PICKLED), or less than its header says.
    """
    if file.read(len(OF_ZIP)) == OF_ZIP:
        raise ValueError("it holds several arrays (.npz) where one is needed")
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)
    return _array(file, size)


def arrays_of(file: io.BufferedIOBase, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of a .npz file by name.

    Args:
        file: Open, at its start, and one that can be sought.
        names: Those that are needed; all where it is None.

    Raises:
        ValueError: It is no such file, is damaged or encrypted, lacks an array, unpacks to far more than its size, or
            holds pickled objects (PICKLED).
    """
    file.seek(0, os.SEEK_END)
    size = file.tell()
    try:
        with zipfile.ZipFile(file) as archive:
            there = {
                member.filename.removesuffix(SUFFIX): member
                for member in archive.infolist()
                if member.filename.endswith(SUFFIX)
            }
            if lacking := [name for name in names or () if name not in there]:
                raise ValueError(f"it has arrays {', '.join(there) or 'none'}, and needs {' and '.join(lacking)}")
            members = {name: there[name] for name in names or there}
            _refuse_size(sum(member.file_size for member in members.values()), size)
            arrays = {}
            for name, member in members.items():
                with archive.open(member) as part:
                    arrays[name] = _array(cast(io.BufferedIOBase, part), member.file_size)
    except OF_ZLIB as error:
        raise ValueError(_reason(error)) from None
    return arrays


def arrays_in(data: bytes) -> dict[str, np.ndarray]:
    """As `arrays_of`, of a file that has been read."""
    return arrays_of(io.BytesIO(data))


def _array(file: io.BufferedIOBase, size: int) -> np.ndarray:
    """An array from a file of so many bytes."""
    shape, fortran, dtype = _header(file)
    if dtype.hasobject:
        raise ValueError(PICKLED)
    there, claimed = size - file.tell(), int(np.prod(shape, dtype=object)) * dtype.itemsize
    if min(shape, default=0) < 0 or there < claimed:
        raise ValueError(f"its header says {claimed} bytes, shape {list(shape)}, and it holds {there}: it is cut off")
    data, filled = bytearray(claimed), 0
    while filled < claimed:
        count = file.readinto(memoryview(data)[filled:])
        if not count:
            raise ValueError(f"it ends after {filled} of {claimed} bytes")
        filled += count
    values: np.ndarray = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return values


def _header(file: io.BufferedIOBase) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type, as a header says."""
    try:
        version = npy.read_magic(file)
        if version in READERS:
            return READERS[version](file)
    except Exception:  # it is read as an expression of Python, which can fail in any way
        raise ValueError("its header is damaged, or it is no .npy file") from None
    raise ValueError("its fields have names beyond Latin letters, and plain numbers are needed")


def allowed_size(size: int) -> int:
    """How many bytes a file of some bytes may unpack to."""
    return max(UNPACKED, EXPANSION * size)


def refuse_bomb(file: io.BufferedIOBase) -> None:
    """Raise ValueError where a file is an archive that would unpack to far more than its size; back to its start."""
    size = file.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(file) as archive:
            _refuse_size(sum(member.file_size for member in archive.infolist()), size)
    except OF_ZLIB:
        pass  # no archive, or a damaged one: for its reader to say
    file.seek(0)


def _refuse_size(unpacked: int, size: int) -> None:
    if unpacked > allowed_size(size):
        raise ValueError(
            f"it would unpack to {unpacked / 2**30:.3g} GiB, {unpacked // max(size, 1):,} times its size; save it "
            "without compression"
        )


def _reason(error: BaseException) -> str:
    text = str(error)
    if "encrypted" in text:
        return "it is encrypted; save it without a password"
    if isinstance(error, NotImplementedError):
        return "it is compressed in a way that Python does not know; save it with numpy.savez"
    return f"it is damaged ({text.splitlines()[0] if text else type(error).__name__})"
