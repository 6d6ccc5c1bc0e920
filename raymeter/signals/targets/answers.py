"""Answers of a target that can only be asked: paid for once, kept, and read back.

    <log_dir>/target/<name>/0.npz, 1.npz, ...   a hash of each record as it was sent, and its probabilities
    <log_dir>/target/<name>/sent.json           how many records were sent in all, answered or not

The order of the files is known, so none is listed.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Container

import numpy as np
from jaxtyping import Float32, Int64

from raymeter.storage.run_store import RunStore

SENT = "sent.json"


def place_of(query: str, num_classes: int) -> str:
    """Where the answers of a function lie, relative to the run directory."""
    digest = hashlib.sha256(f"{query} {num_classes}".encode()).hexdigest()[:12]
    return f"target/{query.replace(':', '.')}-{digest}"


class Answers:
    """What a function has answered about records so far, over all runs of a directory.

    Args:
        store: The run directory.
        query: Name of the function, module:function.
        num_classes: Probabilities of a record; answers of another number are not read.
    """

    def __init__(self, store: RunStore, query: str, num_classes: int) -> None:
        self.store, self.num_classes = store, num_classes
        self.place = place_of(query, num_classes)
        self.known: dict[bytes, Float32[np.ndarray, " classes"]] = {}
        self.files = 0
        self.sent = int((store.read_json(f"{self.place}/{SENT}") or {}).get("records", 0))
        self._load()

    def count_sent(self, records: int) -> None:
        """Write down, before it happens, that so many more records are sent."""
        self.sent += records
        self.store.write_json(f"{self.place}/{SENT}", {"records": self.sent})

    def keep(self, batch: np.ndarray, probabilities: Float32[np.ndarray, "records classes"]) -> None:
        """Store what was answered about a batch of records."""
        keys, buffer = record_keys(batch), io.BytesIO()
        np.savez(buffer, records=np.frombuffer(b"".join(keys), np.uint8).reshape(len(keys), -1), answers=probabilities)
        self.store.write(f"{self.place}/{self.files}.npz", buffer.getvalue())
        self.files += 1
        self.known |= dict(zip(keys, probabilities, strict=True))

    def of(self, batch: np.ndarray) -> Float32[np.ndarray, "records classes"]:
        """The probabilities of records that are all known."""
        return np.stack([self.known[key] for key in record_keys(batch)])

    def _load(self) -> None:
        while (data := self.store.read(f"{self.place}/{self.files}.npz")) is not None:
            self.files += 1
            try:
                with np.load(io.BytesIO(data), allow_pickle=False) as file:
                    records, answers = file["records"], file["answers"]
            except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile):
                continue  # a damaged file: its records are asked about again
            if answers.shape == (len(records), self.num_classes):
                self.known |= {record.tobytes(): answer for record, answer in zip(records, answers, strict=True)}


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
    return [hashlib.blake2b(about + record.tobytes(), digest_size=16).digest() for record in batch]
