"""The run directory: atomic, hashed, and never silently mixed."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, replace

import numpy as np
import pytest
import safetensors.torch
import torch

from raymeter.errors import StoreError
from raymeter.schema import ModelRecord
from raymeter.storage.columns import save_column
from raymeter.storage.local_files import sha256
from raymeter.storage.run_store import RunStore, weights_path

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
IDENTITY = {"run": {"random_seed": 0}, "train": {"learning_rate": 0.1}, "data": {"sha256": "a" * 64}}


@pytest.fixture
def store(tmp_path):
    return RunStore.at(str(tmp_path / "run"))


def test_write_replaces_whole_files_and_leaves_no_temporary(store, tmp_path):
    """A second write shows the new content, and only the file itself is left."""
    store.write("a/b.txt", b"one")
    store.write("a/b.txt", b"two")
    assert store.read("a/b.txt") == b"two"
    assert [path.name for path in (tmp_path / "run" / "a").iterdir()] == ["b.txt"]


def test_a_full_disk_is_one_line_and_leaves_what_was_there(store, tmp_path, monkeypatch):
    """A checkpoint for which there was no room once cost its model an attempt, and a report ended in a traceback."""

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.write("a/b.txt", b"one")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"a/b.txt cannot be written \(No space left on device\); free some space"):
        store.write("a/b.txt", b"two")
    assert store.read("a/b.txt") == b"one"
    assert [path.name for path in (tmp_path / "run" / "a").iterdir()] == ["b.txt"]


def test_read_missing_is_none(store):
    """A missing file reads as None, not as an error."""
    assert store.read("nothing") is None
    assert store.read_json("nothing.json") is None


def test_file_uri_and_local_path_are_the_same_place(tmp_path):
    """The URI code path (used for s3:// and gs://) reads what the local one wrote, and the other way round."""
    local, uri = RunStore.at(str(tmp_path)), RunStore.at(f"file://{tmp_path}")
    local.write("x", b"1")
    assert uri.read("x") == b"1"
    uri.write("y", b"2")
    assert local.read("y") == b"2"
    uri.delete("y")
    uri.delete("y")
    assert local.read("y") is None


def test_claim_refuses_another_recipe_naming_the_change(store):
    """A changed learning rate in the same directory is refused with both values and a way out."""
    store.claim(IDENTITY)
    store.claim(IDENTITY)
    changed = {**IDENTITY, "train": {"learning_rate": 0.2}}
    with pytest.raises(StoreError) as error:
        store.claim(changed)
    assert "train.learning_rate was 0.1, now 0.2" in str(error.value)
    assert "Choose another run.log_dir" in str(error.value)


def test_load_model_returns_what_was_saved(store):
    """A finished model comes back with its record, and its weights with their hash checked."""
    store.save_model(RECORD, WEIGHTS)
    assert store.load_model(0, "abc", 1) == (RECORD, "")
    torch.testing.assert_close(store.read_weights(RECORD)["w"], torch.arange(4.0))


def test_load_model_unknown_has_no_reason(store):
    """A model that was never trained is not worth a line."""
    assert store.load_model(5, "abc", 1) == (None, "")


@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: data[:-1] + b"\x01", lambda data: b""])
def test_load_model_detects_altered_weights(store, damage):
    """Truncated and altered weights are found by their hash and named."""
    store.save_model(RECORD, WEIGHTS)
    store.write(RECORD.weights, damage(WEIGHTS))
    record, reason = store.load_model(0, "abc", 1)
    assert record is None
    assert reason == "model 0: models/model_0.safetensors was truncated or altered (its hash is wrong)"
    with pytest.raises(StoreError, match="missing or altered"):
        store.read_weights(RECORD)


@pytest.mark.parametrize("marker", [b"", b"{", b"[]", b'{"index": 0}'])
def test_load_model_survives_a_damaged_marker(store, marker):
    """A marker that cannot be read means that the model is trained again, with a reason."""
    store.save_model(RECORD, WEIGHTS)
    store.write("models/model_0.json", marker)
    record, reason = store.load_model(0, "abc", 1)
    assert record is None
    assert "its marker" in reason


def test_load_model_refuses_another_recipe(store):
    """A marker of another recipe is never taken."""
    store.save_model(replace(RECORD, recipe="old"), WEIGHTS)
    assert store.load_model(0, "abc", 1) == (None, "model 0: it was trained with another recipe (old, now abc)")


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
def test_load_model_refuses_the_marker_of_another_model(store, change, reason):
    """A copied marker once gave a silently wrong audit: its weights were scored as another model's."""
    store.save_model(RECORD, WEIGHTS)
    store.save_model(replace(RECORD, index=3, weights=weights_path(3)), WEIGHTS)
    store.write_json("models/model_0.json", {**asdict(RECORD), **change})
    assert store.load_model(0, "abc", 1) == (None, f"model 0: {reason}")


def test_checkpoint_round_trip_and_refusals(store):
    """A checkpoint comes back for its recipe only; a damaged one is refused with the reason."""
    path = "models/model_2.checkpoint.safetensors"
    store.save_checkpoint(2, {"epoch": torch.tensor(3), "w": torch.arange(9.0)}, "abc")
    loaded, reason = store.load_checkpoint(2, "abc")
    assert (int(loaded["epoch"]), reason) == (3, "")
    torch.testing.assert_close(loaded["w"], torch.arange(9.0))
    assert store.load_checkpoint(2, "other") == (None, f"model 2: {path} belongs to another recipe")
    data = store.read(path)
    for damaged in (data[:-1], data[:-1] + bytes([data[-1] ^ 1])):
        store.write(path, damaged)
        assert store.load_checkpoint(2, "abc") == (
            None,
            f"model 2: {path} was truncated or altered (its hash is wrong)",
        )
    for damaged in (b"junk", b"", data[:20]):
        store.write(path, damaged)
        assert store.load_checkpoint(2, "abc") == (None, f"model 2: {path} cannot be read")
    assert store.load_checkpoint(3, "abc") == (None, "")


def test_save_model_drops_the_checkpoint(store):
    """When a model is done its checkpoint is gone."""
    store.save_checkpoint(0, {"epoch": torch.tensor(3)}, "abc")
    store.save_model(RECORD, WEIGHTS)
    assert store.load_checkpoint(0, "abc") == (None, "")


def test_manifest_is_written_last(store, monkeypatch):
    """A crash between the data and the marker leaves a model that is not done."""
    written = []
    original = RunStore.write

    def spy(self, path, data):
        written.append(path)
        original(self, path, data)

    monkeypatch.setattr(RunStore, "write", spy)
    store.save_model(RECORD, WEIGHTS)
    save_column(store, "c", np.zeros((1, 1, 1), np.float32), {})
    assert written == ["models/model_0.safetensors", "models/model_0.json", "signals/c.npy", "signals/c.json"]


def test_json_files_are_plain(store):
    """Markers are JSON that any tool reads."""
    store.save_model(RECORD, WEIGHTS)
    assert json.loads(store.read("models/model_0.json"))["sha256"] == sha256(WEIGHTS)
