"""Cloud storage as pyarrow.fs opens it (s3://, gs://): whole objects, read and written with patience.

Objects have no rename and need none: one that is written becomes visible when it is complete, or not at all. What fails
on the way (a connection that breaks, 500, 503 Slow Down) is tried again; a refusal is not. Keys come from the
environment or from the machine's role, never from an address, since addresses are stored and shown.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import pyarrow as pa
from pyarrow import fs as pafs

from raymeter.errors import StoreError, first_line
from raymeter.storage.addresses import shown, without_keys

T = TypeVar("T")
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds between tries, on top of pyarrow's own three at every request
REFUSALS = (
    "ACCESS_DENIED",
    "NO_SUCH_BUCKET",
    "INVALID_ACCESS_KEY_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
    "EXPIRED_TOKEN",
    "HTTP status 400",
    "HTTP status 401",
    "HTTP status 403",
)


@lru_cache(maxsize=32)
def open_place(location: str) -> tuple[Any, str]:
    """The filesystem of an address, and the path in it.

    Raises:
        StoreError: No storage is meant by it, or it cannot be opened.
    """
    try:
        filesystem, path = pafs.FileSystem.from_uri(without_keys(location))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{shown(location)} cannot be opened ({_short(error)}); check the address") from None
    if isinstance(filesystem, pafs.S3FileSystem):
        build, (options,) = filesystem.__reduce__()
        filesystem = build({**options, "allow_delayed_open": True})  # one request for a small object instead of three
    return filesystem, path


def read_object(location: str) -> bytes | None:
    """The whole content of an object; None where there is none.

    Raises:
        StoreError: It could not be read, although that was tried again and again.
    """
    filesystem, path = open_place(location)

    def read() -> bytes | None:
        try:
            with filesystem.open_input_file(path) as file:
                content: bytes = file.read()
                if len(content) != file.size():
                    raise OSError(f"{len(content)} of {file.size()} bytes arrived")
                return content
        except FileNotFoundError:
            return None

    return _patiently(read, location, "read")


def write_object(location: str, data: bytes | mmap.mmap) -> None:
    """Write a whole object: it is there as a whole or not at all.

    Raises:
        StoreError: It could not be written, although that was tried again and again.
    """
    filesystem, path = open_place(location)

    def write() -> None:
        with filesystem.open_output_stream(path) as stream:
            stream.write(data)

    _patiently(write, location, "written")


def delete_object(location: str) -> None:
    """Remove an object; no error where there is none."""
    filesystem, path = open_place(location)

    def delete() -> None:
        try:
            filesystem.delete_file(path)
        except FileNotFoundError:
            pass

    _patiently(delete, location, "deleted")


def list_objects(location: str) -> list[str]:
    """Names of the objects right below a location; it may lag behind what is written, so nothing depends on it."""
    filesystem, path = open_place(location)

    def look() -> list[str]:
        entries = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True))
        return sorted(entry.base_name for entry in entries if entry.type == pafs.FileType.File)

    return _patiently(look, location, "listed")


def _patiently(work: Callable[[], T], location: str, done: str) -> T:
    """Do it, and again after a while where it fails for a reason that may pass."""
    for pause in (*PAUSES, None):
        try:
            return work()
        except OSError as error:
            refused = isinstance(error, PermissionError) or any(refusal in str(error) for refusal in REFUSALS)
            if pause is None or refused:
                tries = "" if refused else f", tried {len(PAUSES) + 1} times"
                remedy = "check the address and the keys of this node" if refused else "see whether the storage is well"
                raise StoreError(
                    f"{shown(location)} cannot be {done} ({_short(error)}{tries}); {remedy}, then start again"
                ) from None
            time.sleep(pause)
    raise AssertionError  # the last round returns or raises


def _short(error: Exception) -> str:
    text = first_line(error)
    return text if len(text) <= 300 else f"{text[:297]}..."
