"""Files that the user names, identified by their contents."""

from __future__ import annotations

from pathlib import Path

from raymeter.errors import DataError, StoreError, not_uploaded
from raymeter.schema.plain_files import file_bytes
from raymeter.storage.addresses import is_remote, shown
from raymeter.storage.buckets import read_object


def content_of(path: str, key: str) -> bytes:
    """The bytes of a file of the user's, local or in a bucket."""
    try:
        data = read_object(path) if is_remote(path) else file_bytes(Path(path).expanduser())
    except (OSError, StoreError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{key}: {shown(path)} cannot be read ({reason}){not_uploaded()}") from None
    if data is None:
        raise DataError(f"{key}: {shown(path)} not found; give its address")
    return data
