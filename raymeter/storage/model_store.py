"""Models in the run directory: weights, markers that say "done", and checkpoints of those that are not.

<log_dir>/models/model_3.safetensors              weights
<log_dir>/models/model_3.json                     ModelRecord; written last, so it means "done"
<log_dir>/models/model_3.checkpoint.safetensors   after the last finished epochs; gone when done

What is done is known by reading markers by their names, never by listing. Nothing here unpickles a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields

import safetensors.torch
from torch import Tensor

from raymeter.errors import StoreError
from raymeter.schema.model_record import ModelRecord
from raymeter.storage.local_files import sha256
from raymeter.storage.run_store import RunStore


@dataclass(frozen=True)
class ModelStore:
    """Reads and writes the models of one run directory."""

    store: RunStore

    def save(self, record: ModelRecord, weights: bytes) -> ModelRecord:
        """Write weights, then the marker that says done, then drop the checkpoint."""
        self.store.write(record.weights, weights)
        self.store.write_json(_model_path(record.index, "json"), asdict(record))
        self.store.delete(_model_path(record.index, "checkpoint.safetensors"))
        return record

    def load(self, index: int, recipe: str, seed: int) -> tuple[ModelRecord | None, str]:
        """A finished model's record, or None with the reason why it has to be trained (again).

        Args:
            index: Of the model.
            recipe: Hash of the recipe that it must have been trained with.
            seed: That it must have been trained with.
        """
        try:
            marker = self.store.read_json(_model_path(index, "json"))
        except StoreError:
            return None, f"model {index}: its marker is damaged"
        if marker is None:
            return None, ""
        names = {f.name for f in fields(ModelRecord)}
        needed = {f.name for f in fields(ModelRecord) if f.default is MISSING}
        if not needed <= set(marker) <= names:
            return None, f"model {index}: its marker has other fields than this version writes"
        record = ModelRecord(**marker)
        if (record.index, record.weights) != (index, weights_path(index)):
            return None, f"model {index}: its marker belongs to another model ({record.index}, {record.weights})"
        if record.seed != seed:
            return None, f"model {index}: it was trained with another seed ({record.seed}, now {seed})"
        if record.recipe != recipe:
            return None, f"model {index}: it was trained with another recipe ({record.recipe}, now {recipe})"
        weights = self.store.read(record.weights)
        if weights is None:
            return None, f"model {index}: {record.weights} is missing"
        if sha256(weights) != record.sha256:
            return None, f"model {index}: {record.weights} was truncated or altered (its hash is wrong)"
        return record, ""

    def holds_none(self, indices: Iterable[int]) -> bool:
        """Whether there is nothing of these models: no marker, no weights, no checkpoint."""
        parts = ("json", "safetensors", "checkpoint.safetensors")
        paths = (_model_path(index, part) for index in indices for part in parts)
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

    def save_checkpoint(self, index: int, tensors: Mapping[str, Tensor], recipe: str) -> None:
        """Keep the state of a model in training, marked with its recipe and the hash of its tensors."""
        plain = safetensors.torch.save(dict(tensors))
        about = {"recipe": recipe, "sha256": sha256(_payload(plain))}
        data = safetensors.torch.save(dict(tensors), metadata=about)
        self.store.write(_model_path(index, "checkpoint.safetensors"), data)

    def load_checkpoint(self, index: int, recipe: str) -> tuple[dict[str, Tensor] | None, str]:
        """State of an unfinished model, or None with the reason why a checkpoint that is there cannot be used."""
        path = _model_path(index, "checkpoint.safetensors")
        data = self.store.read(path)
        if data is None:
            return None, ""
        try:
            about = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
            if about["sha256"] != sha256(_payload(data)):
                return None, f"model {index}: {path} was truncated or altered (its hash is wrong)"
            if about["recipe"] != recipe:
                return None, f"model {index}: {path} belongs to another recipe"
            return safetensors.torch.load(data), ""
        except (ValueError, KeyError, TypeError, safetensors.SafetensorError):
            return None, f"model {index}: {path} cannot be read"


def weights_path(index: int) -> str:
    """Where the weights of a model lie, relative to the run directory."""
    return _model_path(index, "safetensors")


def _payload(data: bytes) -> bytes:
    """The tensors of a safetensors file, without its header."""
    return data[8 + int.from_bytes(data[:8], "little") :]


def _model_path(index: int, suffix: str) -> str:
    return f"models/model_{index}.{suffix}"
