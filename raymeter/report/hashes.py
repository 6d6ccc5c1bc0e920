"""hashes.json of a report: the sha256 of its files, so that no figure is read from one that was altered.

It is written before metrics.json, which says that a report is complete, and lists that too. Reports of earlier versions
have none and are read as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from raymeter.errors import StoreError
from raymeter.storage.local_files import sha256
from raymeter.storage.run_store import RunStore
from raymeter.storage.seals import sealed, unsealed

HASHES = "hashes.json"
WAY_OUT = "make the report again, by the command that made it"


def with_hashes(files: Iterator[tuple[str, Any]], last: str) -> Iterator[tuple[str, Any]]:
    """The files of a report, and before the last one their hashes.

    Args:
        files: Path and bytes of each.
        last: Path of the one after which the report is complete.
    """
    hashes: dict[str, str] = {}
    for path, data in files:
        hashes[path] = sha256(data)
        if path == last:
            yield HASHES, sealed(HASHES, hashes)
        yield path, data


@dataclass(frozen=True)
class ReportFiles:
    """The directory of a report, whose files are what their hashes say.

    Args:
        store: The directory.
    """

    store: RunStore

    @property
    def name(self) -> str:
        """The location as messages show it."""
        return self.store.name

    @cached_property
    def _hashes(self) -> Mapping[str, str] | None:
        """None for a report of an earlier version."""
        data = self.store.read(HASHES)
        if data is None:
            return None
        with suppress(ValueError, RecursionError):
            hashes, has_seal = unsealed(HASHES, data)
            if has_seal:
                return hashes
        raise StoreError(f"{self.name}/{HASHES} is damaged; {WAY_OUT}")

    def read(self, path: str) -> bytes | None:
        """The content of a file, or None where there is none.

        Raises:
            StoreError: It is not what was written.
        """
        data = self.store.read(path)
        if data is not None and self._hashes is not None and self._hashes.get(path) != sha256(data):
            raise StoreError(f"{self.name}/{path} is altered (its hash is wrong); {WAY_OUT}")
        return data

    def read_json(self, path: str) -> dict[str, Any] | None:
        """A JSON object, or None where the file is missing.

        Raises:
            StoreError: As `read`, or it is no JSON object.
        """
        data = self.read(path)
        if data is None:
            return None
        with suppress(ValueError, RecursionError):
            value = json.loads(data)
            if isinstance(value, dict):
                return value
        raise StoreError(f"{self.name}/{path} is damaged; {WAY_OUT}")

    def replace(self, path: str, data: bytes) -> None:
        """Write one file anew, and its hash; in between the report is refused."""
        if self._hashes is not None:
            self.store.write(HASHES, sealed(HASHES, {**self._hashes, path: sha256(data)}))
        self.store.write(path, data)
