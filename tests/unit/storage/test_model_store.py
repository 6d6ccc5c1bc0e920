"""Models in the run directory: markers that mean done, weights and checkpoints whose hashes are checked."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import safetensors.torch
import torch

from raymeter.errors import StoreError
from raymeter.schema import ModelRecord
from raymeter.storage.columns import save_column
from raymeter.storage.local_files import sha256
from raymeter.storage.model_store import ModelStore, weights_path
from raymeter.storage.run_store import RunStore

WEIGHTS = safetensors.torch.save({"w": torch.arange(4.0)})
RECORD = ModelRecord(
    index=0,
    seed=1,
    weights=weights_path(0),
    sha256=sha256(WEIGHTS),
    recipe="abc",
    train_accuracy=1.0,
    test_accuracy=0.5,
    train_loss=0.1,
    test_loss=1.0,
    seconds=2.0,
)


@pytest.fixture
def store(tmp_path):
    return RunStore.at(str(tmp_path / "run"))


@pytest.fixture
def models(store):
    return ModelStore(store)


def test_load_model_returns_what_was_saved(models):
    """A finished model comes back with its record, and its weights with their hash checked."""
    models.save(RECORD, WEIGHTS)
    assert models.load(0, "abc", 1) == (RECORD, "")
    torch.testing.assert_close(models.read_weights(RECORD)["w"], torch.arange(4.0))


def test_load_model_unknown_has_no_reason(models):
    """A model that was never trained is not worth a line."""
    assert models.load(5, "abc", 1) == (None, "")


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: data[:-1] + b"\x01", lambda data: b""])
def test_load_model_detects_altered_weights(store, models, damage):
    """Truncated and altered weights are found by their hash and named."""
    models.save(RECORD, WEIGHTS)
    store.write(RECORD.weights, damage(WEIGHTS))
    record, reason = models.load(0, "abc", 1)
    assert record is None
    assert reason == "model 0: models/model_0.safetensors was truncated or altered (its hash is wrong)"
    with pytest.raises(StoreError, match="missing or altered"):
        models.read_weights(RECORD)


@pytest.mark.parametrize("marker", [b"", b"{", b"[]", b'{"index": 0}'])
def test_load_model_survives_a_damaged_marker(store, models, marker):
    """A marker that cannot be read means that the model is trained again, with a reason."""
    models.save(RECORD, WEIGHTS)
    store.write("models/model_0.json", marker)
    record, reason = models.load(0, "abc", 1)
    assert record is None
    assert "its marker" in reason


def test_load_model_refuses_another_recipe(models):
    """A marker of another recipe is never taken."""
    models.save(replace(RECORD, recipe="old"), WEIGHTS)
    assert models.load(0, "abc", 1) == (None, "model 0: it was trained with another recipe (old, now abc)")


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"index": 3, "weights": weights_path(3)},
            "its marker belongs to another model (3, models/model_3.safetensors)",
        ),
        ({"weights": None}, "its marker belongs to another model (0, None)"),
        ({"seed": 9}, "it was trained with another seed (9, now 1)"),
    ],
)
def test_load_model_refuses_the_marker_of_another_model(store, models, change, reason):
    """A copied marker once gave a silently wrong audit: its weights were scored as another model's."""
    models.save(RECORD, WEIGHTS)
    models.save(replace(RECORD, index=3, weights=weights_path(3)), WEIGHTS)
    store.write_json("models/model_0.json", {**asdict(RECORD), **change})
    assert models.load(0, "abc", 1) == (None, f"model 0: {reason}")


def test_checkpoint_round_trip_and_refusals(store, models):
    """A checkpoint comes back for its recipe only; a damaged one is refused with the reason."""
    path = "models/model_2.checkpoint.safetensors"
    models.save_checkpoint(2, {"epoch": torch.tensor(3), "w": torch.arange(9.0)}, "abc")
    loaded, reason = models.load_checkpoint(2, "abc")
    assert (int(loaded["epoch"]), reason) == (3, "")
    torch.testing.assert_close(loaded["w"], torch.arange(9.0))
    assert models.load_checkpoint(2, "other") == (None, f"model 2: {path} belongs to another recipe")
    data = store.read(path)
    for damaged in (data[:-1], data[:-1] + bytes([data[-1] ^ 1])):
        store.write(path, damaged)
        assert models.load_checkpoint(2, "abc") == (
            None,
            f"model 2: {path} was truncated or altered (its hash is wrong)",
        )
    for damaged in (b"junk", b"", data[:20]):
        store.write(path, damaged)
        assert models.load_checkpoint(2, "abc") == (None, f"model 2: {path} cannot be read")
    assert models.load_checkpoint(3, "abc") == (None, "")


def test_save_model_drops_the_checkpoint(models):
    """When a model is done its checkpoint is gone."""
    models.save_checkpoint(0, {"epoch": torch.tensor(3)}, "abc")
    models.save(RECORD, WEIGHTS)
    assert models.load_checkpoint(0, "abc") == (None, "")


def test_manifest_is_written_last(store, models, monkeypatch):
    """A crash between the data and the marker leaves a model that is not done."""
    written = []
    original = RunStore.write

    def spy(self, path, data):
        written.append(path)
        original(self, path, data)

    monkeypatch.setattr(RunStore, "write", spy)
    models.save(RECORD, WEIGHTS)
    save_column(store, "c", np.zeros((1, 1, 1), np.float32), {})
    assert written == ["models/model_0.safetensors", "models/model_0.json", "signals/c.npy", "signals/c.json"]


def test_json_files_are_plain(store, models):
    """Markers are JSON that any tool reads."""
    models.save(RECORD, WEIGHTS)
    assert json.loads(store.read("models/model_0.json"))["sha256"] == sha256(WEIGHTS)
