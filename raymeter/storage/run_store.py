"""The run directory: places, atomic writes, and what it is an audit of.

    <log_dir>/run.json                          what this directory is an audit of; sealed, see seals.py
    <log_dir>/code.json                         which code of the user's made what is here: see code_book.py
    <log_dir>/models/model_3.*                  weights, marker, checkpoint: see model_store.py
    <log_dir>/models/memberships.npy, models_metadata.json    as Privacy Meter wrote them
    <log_dir>/signals/<key>.npy, <key>.json     one model's signals on one set of records: see columns.py
    <log_dir>/<report_log>/...                  the report

Paths may be local or any address that pyarrow.fs opens (s3://, gs://; see buckets.py).
"""

from __future__ import annotations

import io
import json
import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from raymeter.errors import StoreError
from raymeter.schema.plain_files import require_file
from raymeter.storage.addresses import inside, is_remote, shown, without_keys
from raymeter.storage.buckets import delete_object, list_objects, read_object, write_object
from raymeter.storage.local_files import replace_file
from raymeter.storage.seals import sealed, unsealed

IDENTITY = "run.json"


@dataclass(frozen=True)
class RunStore:
    """Reads and writes one run directory; cheap to copy to workers, since it holds only the location."""

    uri: str

    @classmethod
    def at(cls, location: str) -> RunStore:
        """A local path (made absolute, so that workers mean the same place), a file:// or a cloud address.

        Raises:
            StoreError: The address holds keys, or options that no storage knows.
        """
        if location.startswith("file://"):
            location = unquote(urlsplit(location).path)
        try:
            without_keys(location)
        except ValueError as error:
            raise StoreError(f"run.log_dir: {error}") from None
        if is_remote(location) and not urlsplit(location).netloc:
            raise StoreError(f"run.log_dir: {location} names no bucket; give one, such as s3://bucket/audits/first")
        return cls(location.rstrip("/") if is_remote(location) else str(Path(location).expanduser().absolute()))

    @property
    def is_local(self) -> bool:
        """Whether the directory is on this machine."""
        return not is_remote(self.uri)

    @property
    def name(self) -> str:
        """The location as messages and reports show it."""
        return shown(self.uri)

    def write(self, path: str, data: bytes | mmap.mmap) -> None:
        """Write a whole file so that readers see the old content or the new, never a part."""
        if not self.is_local:
            write_object(inside(self.uri, path), data)
            return
        target = self._place(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, data)
        except OSError as error:
            raise StoreError(
                f"{target} cannot be written ({error.strerror}); free some space or choose another run.log_dir"
            ) from None

    def read(self, path: str) -> bytes | None:
        """Content of a file, or None where there is none."""
        with self.opened(path) as file:
            return None if file is None else file.read()

    @contextmanager
    def opened(self, path: str) -> Iterator[BinaryIO | None]:
        """A file opened for reading, or None where there is none; one of a bucket is read as a whole.

        Raises:
            StoreError: It cannot be read.
        """
        if not self.is_local:
            data = read_object(inside(self.uri, path))
            yield None if data is None else io.BytesIO(data)
            return
        try:
            try:
                file = require_file(Path(self.uri, path)).open("rb")
            except FileNotFoundError:
                file = None
            with file or nullcontext():
                yield file
        except OSError as error:
            raise StoreError(
                f"{self.name}/{path} cannot be read ({error.strerror}); choose another run.log_dir"
            ) from None

    def list(self, path: str) -> list[str]:
        """Names of the files in a directory; none where there is no directory."""
        if self.is_local:
            folder = Path(self.uri, path)
            return sorted(entry.name for entry in folder.iterdir() if entry.is_file()) if folder.is_dir() else []
        return list_objects(inside(self.uri, path))

    def delete(self, path: str) -> None:
        """Remove a file; no error where there is none."""
        if self.is_local:
            try:
                self._place(path).unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(
                    f"{self.name}/{path} cannot be deleted ({error.strerror}); choose another run.log_dir"
                ) from None
            return
        delete_object(inside(self.uri, path))

    def _place(self, path: str) -> Path:
        """Where a local file is to be written or deleted.

        Raises:
            StoreError: A link leads there from within the run directory to somewhere else.
        """
        target, folder = Path(self.uri, path), Path(self.uri)
        for part in Path(path).parent.parts:
            folder /= part
            if folder.is_symlink() and not folder.resolve().is_relative_to(Path(self.uri).resolve()):
                raise StoreError(
                    f"{folder} is a link to {folder.resolve()}, outside of the run directory, and nothing is written "
                    "through it; delete the link, or make its target the run.log_dir"
                )
        return target

    def write_json(self, path: str, value: Mapping[str, Any]) -> None:
        """Write a JSON object, its keys in order."""
        self.write(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())

    def read_json(self, path: str) -> dict[str, Any] | None:
        """A JSON object, or None where the file is missing.

        Raises:
            StoreError: The file is there but is not a JSON object.
        """
        data = self.read(path)
        if data is None:
            return None
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
            raise StoreError(f"{self.name}/{path} is damaged ({reason}); delete it and start again") from None
        if not isinstance(value, dict):
            raise StoreError(f"{self.name}/{path} is damaged (not a JSON object); delete it and start again")
        return value

    def write_sealed(self, path: str, value: Mapping[str, Any]) -> None:
        """Write a JSON object with a hash of it and of its path, so that any damage shows; see seals.py."""
        self.write(path, sealed(path, value))

    def read_sealed(self, path: str, way_out: str) -> dict[str, Any] | None:
        """A JSON object without its seal, or None where the file is missing; one of an earlier version has no seal.

        Args:
            path: Of the file.
            way_out: What to do about a damaged one, for the message.

        Raises:
            StoreError: It is damaged, or was written to another place.
        """
        data = self.read(path)
        if data is None:
            return None
        try:
            return unsealed(path, data)[0]
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
            raise StoreError(f"{self.name}/{path} is damaged ({reason}); {way_out}") from None

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Refuse a directory whose models were trained on other data, with another recipe or seed.

        Raises:
            StoreError: Names what changed, from what to what, and how to go on.
        """
        stored = self.read_sealed(IDENTITY, "put it back from a copy, or choose another run.log_dir")
        if stored is None:
            return
        old, new = _flatten(stored), _flatten(identity)
        changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
        if changed:
            listed = "; ".join(f"{key} was {_short(old.get(key))}, now {_short(new.get(key))}" for key in changed[:4])
            more = f"; and {len(changed) - 4} more" if len(changed) > 4 else ""
            raise StoreError(
                f"{self.name} holds models of a different audit: {listed}{more}. "
                "Choose another run.log_dir, put the old values back, or delete that directory."
            )

    def claim(self, identity: Mapping[str, Any]) -> None:
        """Check the identity, and write it where the directory is new, or where an earlier version's has no hash."""
        self.check_identity(identity)
        if self.read(IDENTITY) != sealed(IDENTITY, identity):
            self.write_sealed(IDENTITY, identity)


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _flatten(item, f"{prefix}{key}.") if isinstance(item, Mapping) else {f"{prefix}{key}": item}
    return flat


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:16]}..."
