"""Models in the run directory: weights, markers that say "done", and checkpoints of those that are not.

<log_dir>/models/model_3.safetensors              weights
<log_dir>/models/model_3.json                     ModelRecord, sealed (see seals.py); written last, so it means "done"
<log_dir>/models/model_3.checkpoint.safetensors   after the last finished epochs; gone when done

What is done is known by reading markers by their names, never by listing. Nothing here unpickles a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Any

import safetensors.torch
from torch import Tensor

from raymeter.errors import StoreError
from raymeter.schema.model_record import ModelRecord, Origin
from raymeter.storage.local_files import sha256
from raymeter.storage.run_store import RunStore
from raymeter.storage.seals import unsealed

# what a field of a marker may be, by its annotation
KINDS_OF_FIELDS = {f.name: {"int": (int,), "str": (str,)}.get(str(f.type), (int, float)) for f in fields(ModelRecord)}


@dataclass(frozen=True)
class ModelStore:
    """Reads and writes the models of one run directory."""

    store: RunStore

    def save(self, record: ModelRecord, weights: bytes) -> ModelRecord:
        """Write weights, then the marker that says done, then drop the checkpoint."""
        self.store.write(record.weights, weights)
        self._write_marker(record)
        self.store.delete(model_path(record.index, "checkpoint.safetensors"))
        return record

    def load(self, index: int, origin: Origin) -> tuple[ModelRecord | None, str]:
        """A finished model's record, or None with the reason why it has to be trained (again).

        The marker of an earlier version says nothing of data and members, and its record has none: run.json has them.

        Args:
            index: Of the model.
            origin: What it must have been made of.
        """
        record, reason = self.read_marker(index)
        if record is None:
            return None, reason
        reason = _unlike(record, origin)
        if reason:
            return None, f"model {index}: {reason}"
        weights = self.store.read(record.weights)
        if weights is None:
            return None, f"model {index}: {record.weights} is missing"
        if sha256(weights) != record.sha256:
            return None, f"model {index}: {record.weights} was truncated or altered (its hash is wrong)"
        return record, ""

    def read_marker(self, index: int) -> tuple[ModelRecord | None, str]:
        """What a marker says, or None with the reason, which is empty where there is no marker."""
        path = model_path(index, "json")
        data = self.store.read(path)
        if data is None:
            return None, ""
        try:
            marker, has_seal = unsealed(path, data)
        except (ValueError, RecursionError):
            return None, f"model {index}: its marker is damaged"
        names = set(KINDS_OF_FIELDS) - (set() if has_seal else {"data", "members"})
        needed = {f.name for f in fields(ModelRecord) if f.default is MISSING}
        if not needed <= set(marker) <= names:
            return None, f"model {index}: its marker has other fields than this version writes"
        if (marker["index"], marker["weights"]) != (index, weights_path(index)):
            whose = f"{marker['index']!r:.20}, {marker['weights']!r:.60}".replace("'", "")
            return None, f"model {index}: its marker belongs to another model ({whose})"
        if any(type(value) not in KINDS_OF_FIELDS[name] for name, value in marker.items()):
            return None, f"model {index}: its marker is damaged"
        if marker.get("architecture"):  # code comes from the configuration alone
            return None, f"model {index}: its marker names code of its own, which is not run"
        return ModelRecord(**marker), ""

    def complete(self, record: ModelRecord, origin: Origin) -> ModelRecord:
        """The record of an earlier version with the data and members that it must be of, written to its marker too."""
        whole = replace(record, data=origin.data, members=origin.members)
        self._write_marker(whole)
        return whole

    def _write_marker(self, record: ModelRecord) -> None:
        self.store.write_sealed(model_path(record.index, "json"), asdict(record))

    def holds_none(self, indices: Iterable[int]) -> bool:
        """Whether there is nothing of these models: no marker, no weights, no checkpoint."""
        parts = ("json", "safetensors", "checkpoint.safetensors")
        paths = (model_path(index, part) for index in indices for part in parts)
        return all(self.store.read(path) is None for path in paths)

    def read_weights(self, record: ModelRecord) -> dict[str, Tensor]:
        """Weights of a finished model, checked against the hash in its record.

        Raises:
            StoreError: The file is missing or altered.
        """
        data = self.store.read(record.weights)
        if data is None or sha256(data) != record.sha256:
            raise StoreError(f"{self.store.name}/{record.weights} is missing or altered; start again to train it anew")
        return safetensors.torch.load(data)

    def save_checkpoint(self, index: int, tensors: Mapping[str, Tensor], origin: Origin) -> None:
        """Keep the state of a model in training, marked with what it is of, with hashes of tensors and header."""
        plain = safetensors.torch.save(dict(tensors))
        about = {**_about(index, origin), "sha256": sha256(_payload(plain))}
        about["header"] = _header_digest(_header(plain), about)
        data = safetensors.torch.save(dict(tensors), metadata=about)
        self.store.write(model_path(index, "checkpoint.safetensors"), data)

    def load_checkpoint(self, index: int, origin: Origin) -> tuple[dict[str, Tensor] | None, str]:
        """State of an unfinished model, or None with the reason why a checkpoint that is there cannot be used.

        Those of earlier versions say no more than their recipe.
        """
        path = model_path(index, "checkpoint.safetensors")
        data = self.store.read(path)
        if data is None:
            return None, ""
        try:
            header = _header(data)
            about = header.pop("__metadata__")
            hashes = {"sha256": sha256(_payload(data))}
            earlier = set(about) == {"recipe", "sha256"}
            if not earlier:
                hashes["header"] = _header_digest(header, {**about, **hashes})
            if any(about[name] != value for name, value in hashes.items()):
                return None, f"model {index}: {path} was truncated or altered (its hash is wrong)"
            if about["recipe"] != origin.recipe:
                return None, f"model {index}: {path} belongs to another recipe"
            wanted = _about(index, origin)
            if not earlier and {name: about[name] for name in wanted} != wanted:
                return None, f"model {index}: {path} belongs to another model, or to other data"
            return safetensors.torch.load(data), ""
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, safetensors.SafetensorError):
            return None, f"model {index}: {path} cannot be read"


def _unlike(record: ModelRecord, origin: Origin) -> str:
    """What a model was made of that is not what is wanted; empty where nothing is known to be."""
    if record.seed != origin.seed:
        return f"it was trained with another seed ({record.seed}, now {origin.seed})"
    if record.recipe != origin.recipe:
        return f"it was trained with another recipe ({record.recipe:.16}, now {origin.recipe})"
    if record.data and origin.data not in ("", record.data):
        return f"it was trained on other data ({record.data:.16}, now {origin.data:.16})"
    if record.members and origin.members not in ("", record.members):
        return "it was trained on other records of the pool"
    return ""


def _about(index: int, origin: Origin) -> dict[str, str]:
    """What a checkpoint is of, as texts."""
    return {"index": str(index), **{name: str(value) for name, value in asdict(origin).items()}}


def _header(data: bytes) -> dict[str, Any]:
    """The header of a safetensors file: its tensors with their types, shapes and places."""
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header


def _header_digest(tensors: Mapping[str, Any], about: Mapping[str, str]) -> str:
    """Hash of a header and of what else is said of it."""
    said = {name: value for name, value in about.items() if name != "header"}
    return sha256(json.dumps([tensors, said], sort_keys=True).encode())


def weights_path(index: int) -> str:
    """Where the weights of a model lie, relative to the run directory."""
    return model_path(index, "safetensors")


def _payload(data: bytes) -> bytes:
    """The tensors of a safetensors file, without its header."""
    return data[8 + int.from_bytes(data[:8], "little") :]


def model_path(index: int, suffix: str) -> str:
    """Where a file of a model lies, relative to the run directory."""
    return f"models/model_{index}.{suffix}"
