"""Which code of the user's made what a run directory holds.

<log_dir>/code.json    by function: its files with their hashes, its packages with their versions, what is not known
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from raymeter.schema.user_code import UserCode
from raymeter.storage.run_store import RunStore

CODE = "code.json"


@dataclass(frozen=True)
class Remembered:
    """The code of one function as it was, and the files of which only their state at a later time is known."""

    code: UserCode
    unsure: tuple[str, ...] = ()


class CodeBook:
    """Reads and writes code.json of one run directory, where it is asked for any code."""

    def __init__(self, store: RunStore) -> None:
        self.store = store

    @cached_property
    def entries(self) -> dict[str, Any]:
        """What is in the file."""
        way_out = (
            "put it back from a copy, or, if the code is as it was, delete it: reports then say that it is not known"
        )
        return self.store.read_sealed(CODE, way_out) or {}

    def recall(self, name: str) -> Remembered | None:
        """The code of a function when it was written down, or None."""
        entry = self.entries.get(name)
        if not isinstance(entry, dict):
            return None
        files, packages, unsure = entry.get("files", {}), entry.get("packages", {}), entry.get("unsure", [])
        if not (isinstance(files, dict) and isinstance(packages, dict) and isinstance(unsure, list)):
            return None
        return Remembered(UserCode(files, packages, str(entry.get("main", ""))), tuple(map(str, unsure)))

    def remember(self, found: Mapping[str, Remembered]) -> None:
        """Write down the code of some functions in place of what was known of them."""
        new = {name: {**asdict(item.code), "unsure": list(item.unsure)} for name, item in found.items()}
        if any(self.entries.get(name) != entry for name, entry in new.items()):
            self.store.write_sealed(CODE, self.entries | new)
            self.entries |= new
