"""Models in the run directory: markers that mean done, weights and checkpoints whose hashes are checked."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import numpy as np
import pytest
import safetensors.torch
import torch

from raymeter.errors import StoreError
from raymeter.schema import ModelRecord
from raymeter.schema.model_record import Origin
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
    data="d" * 64,
    members="m" * 64,
)
ORIGIN = Origin("abc", 1, "d" * 64, "m" * 64)


@pytest.fixture
def store(tmp_path):
    return RunStore.at(str(tmp_path / "run"))


@pytest.fixture
def models(store):
    return ModelStore(store)


def test_load_model_returns_what_was_saved(models):
    """A finished model comes back with its record, and its weights with their hash checked."""
    models.save(RECORD, WEIGHTS)
    assert models.load(0, ORIGIN) == (RECORD, "")
    torch.testing.assert_close(models.read_weights(RECORD)["w"], torch.arange(4.0))


def test_load_model_unknown_has_no_reason(models):
    """A model that was never trained is not worth a line."""
    assert models.load(5, ORIGIN) == (None, "")


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: data[:-1] + b"\x01", lambda data: b""])
def test_load_model_detects_altered_weights(store, models, damage):
    """Truncated and altered weights are found by their hash and named."""
    models.save(RECORD, WEIGHTS)
    store.write(RECORD.weights, damage(WEIGHTS))
    record, reason = models.load(0, ORIGIN)
    assert record is None
    assert reason == "model 0: models/model_0.safetensors was truncated or altered (its hash is wrong)"
    with pytest.raises(StoreError, match="missing or altered"):
        models.read_weights(RECORD)


@pytest.mark.parametrize("marker", [b"", b"{", b"[]", b'{"index": 0}'])
def test_load_model_survives_a_damaged_marker(store, models, marker):
    """A marker that cannot be read means that the model is trained again, with a reason."""
    models.save(RECORD, WEIGHTS)
    store.write("models/model_0.json", marker)
    record, reason = models.load(0, ORIGIN)
    assert record is None
    assert "its marker" in reason


def test_load_model_refuses_another_recipe(models):
    """A marker of another recipe is never taken."""
    models.save(replace(RECORD, recipe="old"), WEIGHTS)
    assert models.load(0, ORIGIN) == (None, "model 0: it was trained with another recipe (old, now abc)")


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
        ({"data": "e" * 64}, f"it was trained on other data ({'e' * 16}, now {'d' * 16})"),
        ({"members": "n" * 64}, "it was trained on other records of the pool"),
        ({"seconds": "long"}, "its marker is damaged"),
        ({"architecture": "evil:build"}, "its marker names code of its own, which is not run"),
    ],
)
def test_load_model_refuses_the_marker_of_another_model(store, models, change, reason):
    """A copied marker once gave a silently wrong audit: its weights were scored as another model's."""
    models.save(RECORD, WEIGHTS)
    models.save(replace(RECORD, index=3, weights=weights_path(3)), WEIGHTS)
    store.write_sealed("models/model_0.json", {**asdict(RECORD), **change})
    assert models.load(0, ORIGIN) == (None, f"model 0: {reason}")


def test_checkpoint_round_trip_and_refusals(store, models):
    """A checkpoint comes back for its recipe only; a damaged one is refused with the reason."""
    path = "models/model_2.checkpoint.safetensors"
    models.save_checkpoint(2, {"epoch": torch.tensor(3), "w": torch.arange(9.0)}, ORIGIN)
    loaded, reason = models.load_checkpoint(2, ORIGIN)
    assert (int(loaded["epoch"]), reason) == (3, "")
    torch.testing.assert_close(loaded["w"], torch.arange(9.0))
    assert models.load_checkpoint(2, replace(ORIGIN, recipe="other")) == (
        None,
        f"model 2: {path} belongs to another recipe",
    )
    data = store.read(path)
    for damaged in (data[:-1], data[:-1] + bytes([data[-1] ^ 1])):
        store.write(path, damaged)
        assert models.load_checkpoint(2, ORIGIN) == (
            None,
            f"model 2: {path} was truncated or altered (its hash is wrong)",
        )
    for damaged in (b"junk", b"", data[:20]):
        store.write(path, damaged)
        assert models.load_checkpoint(2, ORIGIN) == (None, f"model 2: {path} cannot be read")
    assert models.load_checkpoint(3, ORIGIN) == (None, "")


def test_save_model_drops_the_checkpoint(models):
    """When a model is done its checkpoint is gone."""
    models.save_checkpoint(0, {"epoch": torch.tensor(3)}, ORIGIN)
    models.save(RECORD, WEIGHTS)
    assert models.load_checkpoint(0, ORIGIN) == (None, "")


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


def test_every_bit_of_a_marker_is_noticed(store, models, monkeypatch):
    """Of 4,264 flipped bits of a marker 630 were once taken in silence."""
    monkeypatch.setattr(os, "fsync", lambda file: None)  # thousands of files that need not outlive a power cut
    models.save(RECORD, WEIGHTS)
    data = store.read("models/model_0.json")
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        store.write("models/model_0.json", bytes(flipped))
        record, reason = models.read_marker(0)
        assert record is None and reason.startswith("model 0: its marker"), (bit, bytes(flipped))


def test_a_marker_of_an_earlier_version_is_taken_and_completed(store, models):
    """It has no seal and does not know its data; what it says is held against what is wanted, and it gets both."""
    models.save(RECORD, WEIGHTS)
    earlier = {name: value for name, value in asdict(RECORD).items() if name not in ("data", "members")}
    store.write_json("models/model_0.json", earlier)
    record, _ = models.load(0, ORIGIN)
    assert record == replace(RECORD, data="", members="")
    assert models.load(0, replace(ORIGIN, seed=2))[0] is None
    assert models.complete(record, ORIGIN) == RECORD
    assert models.load(0, ORIGIN) == (RECORD, "")
    store.write_json("models/model_0.json", asdict(RECORD))  # a sealed one whose seal is gone
    assert models.load(0, ORIGIN)[0] is None


@pytest.mark.parametrize(
    "other", [{"seed": 2}, {"data": "e" * 64}, {"members": "n" * 64}], ids=["seed", "data", "members"]
)
def test_a_checkpoint_of_other_data_or_of_another_model_is_not_gone_on_with(store, models, other):
    """Two checkpoints that were exchanged had each other's members: only their recipe was held against the model."""
    models.save_checkpoint(2, {"w": torch.arange(9.0)}, replace(ORIGIN, **other))
    path = "models/model_2.checkpoint.safetensors"
    refused = f"model 2: {path} belongs to another model, or to other data"
    assert models.load_checkpoint(2, ORIGIN) == (None, refused)
    models.save_checkpoint(3, {"w": torch.arange(9.0)}, ORIGIN)
    store.write(path, store.read("models/model_3.checkpoint.safetensors"))
    assert models.load_checkpoint(2, ORIGIN) == (None, refused)


def test_no_flipped_bit_of_a_checkpoint_changes_what_is_loaded(store, models, monkeypatch):
    """Its header was not hashed: a tensor could get another name or shape."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    tensors = {"w": torch.arange(6.0).reshape(2, 3), "v": torch.arange(6.0).reshape(3, 2)}
    models.save_checkpoint(2, tensors, ORIGIN)
    path = "models/model_2.checkpoint.safetensors"
    data = store.read(path)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        store.write(path, bytes(flipped))
        loaded, _ = models.load_checkpoint(2, ORIGIN)
        if loaded is not None:
            assert all(torch.equal(loaded[name], tensors[name]) for name in tensors), bit


def test_a_checkpoint_of_an_earlier_version_is_gone_on_with(store, models):
    """It says its recipe and has the hash of its tensors."""
    plain = {"w": torch.arange(4.0)}
    about = {"recipe": "abc", "sha256": sha256(torch.arange(4.0).numpy().tobytes())}
    store.write("models/model_2.checkpoint.safetensors", safetensors.torch.save(plain, metadata=about))
    assert torch.equal(models.load_checkpoint(2, ORIGIN)[0]["w"], plain["w"])
