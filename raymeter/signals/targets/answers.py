"""Answers of a target that can only be asked: paid for once, kept, and read back.

    <log_dir>/target/<name>/0.npz, 1.npz, ...   a hash of each record as it was sent, its probabilities, a hash of all
    <log_dir>/target/<name>/sent.json           how many records were sent in all, answered or not; how many files

The order of the files is known, so none is listed. A file that is lost or altered is asked for again, alone: records
are found by their own hashes. Files of earlier versions have no hash and are read as they are.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Container
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from raymeter.errors import StoreError
from raymeter.schema.array_files import arrays_in
from raymeter.storage.run_store import RunStore

SENT = "sent.json"
KEY_BYTES = 16  # of the hash of a record
UNREADABLE = (ValueError, KeyError, MemoryError)


def place_of(query: str, num_classes: int) -> str:
    """Where the answers of a function lie, relative to the run directory."""
    digest = hashlib.sha256(f"{query} {num_classes}".encode()).hexdigest()[:12]
    return f"target/{query.replace(':', '.')}-{digest}"


class Answers:
    """What a function has answered about records so far, over all runs of a directory.

    `sent` counts records that were sent; it is `uncertain` where sent.json is missing or was altered, and then what the
    answers themselves say: at least so many. `lost` are the numbers of files that are missing or damaged.

    Args:
        store: The run directory.
        query: Name of the function, module:function.
        num_classes: Probabilities of a record; answers of another number are not read.
    """

    def __init__(self, store: RunStore, query: str, num_classes: int) -> None:
        self.store, self.num_classes = store, num_classes
        self.place = place_of(query, num_classes)
        self.known: dict[bytes, Float32[np.ndarray, " classes"]] = {}
        self.files, self.unhashed, self.sent, self.uncertain = 0, 0, 0, False
        self.lost: list[int] = []
        self._load()

    def count_sent(self, records: int) -> None:
        """Write down, before it happens, that so many more records are sent."""
        self.sent += records
        self._write_count()

    def keep(self, batch: np.ndarray, probabilities: Float32[np.ndarray, "records classes"]) -> None:
        """Store what was answered about a batch of records, in the place of a lost file where there is one."""
        keys = record_keys(batch)
        records = np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), KEY_BYTES)
        file = self.lost[0] if self.lost else self.files
        digest = np.frombuffer(self._digest(file, self.sent, records, probabilities), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, records=records, answers=probabilities, sent=np.int64(self.sent), sha256=digest)
        self.store.write(f"{self.place}/{file}.npz", buffer.getvalue())
        self.lost, self.files = self.lost[1:], max(self.files, file + 1)
        self.known |= dict(zip(keys, probabilities, strict=True))
        self._write_count()

    def of(self, batch: np.ndarray) -> Float32[np.ndarray, "records classes"]:
        """The probabilities of records that are all known."""
        return np.stack([self.known[key] for key in record_keys(batch)])

    def _load(self) -> None:
        try:
            count = self.store.read_json(f"{self.place}/{SENT}")
        except StoreError:
            count = {}
        intact = count is not None and self._is_intact(count)
        expected = int(count["files"]) if count and intact else 0
        self.unhashed = int(count["unhashed"]) if count and intact else 0
        self.sent = int(count["records"]) if count and intact else 0
        old, hashed = bool(count) and not intact and set(count or {}) == {"records"}, False
        while (data := self.store.read(f"{self.place}/{self.files}.npz")) is not None or self.files < expected:
            found = None if data is None else self._read(data, old or self.files < self.unhashed)
            if found is None:
                self.lost.append(self.files)
            else:
                keys, answers, sent = found
                self.known |= {key.tobytes(): answer for key, answer in zip(keys, answers, strict=True)}
                hashed, self.sent = hashed or sent > 0, max(self.sent, sent)
            self.files += 1
        if old and self.files and not hashed:  # written by an earlier version, whose count has no hash
            assert count is not None
            self.sent, self.unhashed = _whole_number(count["records"]), self.files
        else:
            self.uncertain = not intact and (count is not None or self.files > 0)

    def _read(self, data: bytes, may_lack_hash: bool) -> tuple[np.ndarray, np.ndarray, int] | None:
        """Hashes of records, their answers, and how many records had been sent by then; None where they are damaged."""
        try:
            arrays = arrays_in(data)
            records, answers = arrays["records"], arrays["answers"]
            sent = int(arrays["sent"]) if "sha256" in arrays else 0
        except UNREADABLE:
            return None
        if records.shape != (len(records), KEY_BYTES) or answers.shape != (len(records), self.num_classes):
            return None
        if "sha256" in arrays:
            whole = arrays["sha256"].tobytes() == self._digest(self.files, sent, records, answers)
            return (records, answers, sent) if whole else None
        return (records, answers, 0) if may_lack_hash else None

    def _digest(self, file: int, sent: int, records: np.ndarray, answers: np.ndarray) -> bytes:
        """Of a file and the place where it belongs."""
        about = f"{self.place} {file} {sent} {answers.dtype.str} {answers.shape}".encode()
        return hashlib.sha256(about + records.tobytes() + answers.tobytes()).digest()

    def _write_count(self) -> None:
        count = {"records": self.sent, "files": self.files, "unhashed": self.unhashed}
        self.store.write_json(f"{self.place}/{SENT}", {**count, "sha256": self._count_digest(count)})

    def _is_intact(self, count: dict[str, Any]) -> bool:
        plain = {name: value for name, value in count.items() if name != "sha256"}
        return set(plain) == {"records", "files", "unhashed"} and count.get("sha256") == self._count_digest(plain)

    def _count_digest(self, count: dict[str, Any]) -> str:
        return hashlib.sha256(f"{self.place} {sorted(count.items())}".encode()).hexdigest()


def _whole_number(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def first_of_each(batch: np.ndarray, known: Container[bytes]) -> Int64[np.ndarray, " new"]:
    """Positions of the records that are not known; of several that are equal, of the first."""
    first: dict[bytes, int] = {}
    for position, key in enumerate(record_keys(batch)):
        if key not in known:
            first.setdefault(key, position)
    return np.array(list(first.values()), dtype=np.int64)


def record_keys(batch: np.ndarray) -> list[bytes]:
    """A hash of each record as it is sent: values, type and shape."""
    about = f"{batch.dtype.str}{batch.shape[1:]}".encode()
    return [hashlib.blake2b(about + record.tobytes(), digest_size=KEY_BYTES).digest() for record in batch]
