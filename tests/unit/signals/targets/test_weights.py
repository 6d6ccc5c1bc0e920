"""A target's weights: read without unpickling, checked against the model that is to hold them."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from raymeter.config.load import build_config
from raymeter.errors import ConfigError, DataError
from raymeter.schema import Dataset
from raymeter.schema.reporter import Silent
from raymeter.signals.targets.weights import WEIGHTS, KnownWeights, load_weights
from raymeter.storage.model_store import ModelStore
from raymeter.storage.run_store import RunStore
from raymeter.training.split import make_split, with_foreign_target


def build(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Linear(8, classes))


def two_for_one(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.Linear(8, classes + 1))


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (f"{self.path}.ran",)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build((4,), 3)


def test_every_way_of_saving_gives_the_same_weights(tmp_path, model):
    """safetensors, a plain state dict, and one in a checkpoint."""
    state = model.state_dict()
    safetensors.torch.save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pt")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "b.pt")
    torch.save({"epoch": 3, "model": state, "optimizer": {"state": {}}}, tmp_path / "c.pt")
    torch.save(state, tmp_path / "d.pt", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "a.pt", "b.pt", "c.pt", "d.pt"):
        found = load_weights(str(tmp_path / name))
        assert found.keys() == state.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)


@pytest.mark.parametrize(
    ("name", "save", "message"),
    [
        ("a.pt", lambda path, model: torch.save(model, path), "is no file of weights alone"),
        ("a.pt", lambda path, model: torch.save({"a": Evil(path)}, path), "is no file of weights alone"),
        ("a.pt", lambda path, model: path.write_bytes(pickle.dumps(Evil(path))), "is no file of weights alone"),
        ("a.pt", lambda path, model: torch.save([1, 2], path), "holds list, not tensors by name"),
        ("a.pt", lambda path, model: torch.save({"epoch": 1}, path), "holds dict, not tensors by name"),
        ("a.pt", lambda path, model: torch.save({}, path), "holds dict, not tensors by name"),
        ("a.pt", lambda path, model: path.write_bytes(b""), "holds no weights that can be read (it is empty)"),
        ("a.pt", lambda path, model: path.write_bytes(b"PK\x03\x04 and no more"), "holds no weights"),
        ("a.safetensors", lambda path, model: path.write_bytes(b"nothing"), "holds no weights"),
    ],
)
def test_other_files_are_refused_with_a_way_out(tmp_path, model, name, save, message):
    """One line that says how to save the weights instead."""
    save(tmp_path / name, model)
    with pytest.raises(DataError) as error:
        load_weights(str(tmp_path / name))
    assert f"audit.target.weights: {tmp_path / name} {message}" in str(error.value)
    assert str(error.value).endswith("save the weights alone, with torch.save(model.state_dict(), path) or safetensors")
    assert str(error.value).isprintable()
    assert not (tmp_path / "a.pt.ran").exists()


def test_weights_that_give_no_numbers_are_refused_before_training(tmp_path, model):
    """A diverged target was found out by its signals, after all references had been trained."""
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    with pytest.raises(DataError, match="target.pt gives logits that are not finite; did its training diverge"):
        target_of(tmp_path, model)[0].prepare(Silent())


def target_of(tmp_path, network, **keys):
    """A target of ten records and three classes, members 0 to 4, with some keys of its section."""
    torch.save(network.state_dict(), tmp_path / "target.pt")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(14, 4)).astype(np.float32), np.arange(14) % 3
    data = Dataset("random", x[:10], y[:10], x[10:], y[10:], 3)
    split = make_split(pool=10, population=4, models=4, targets=None, examples=None, seed=0)
    split = with_foreign_target(split, np.arange(10) < 5, np.zeros(4, dtype=bool))
    section = {"members": "m.npy", "weights": str(tmp_path / "target.pt"), **keys}
    sections = {
        "run": {"log_dir": str(tmp_path)},
        "audit": {"target": section},
        "train": {"model": f"{__name__}:build"},
    }
    config = build_config(sections)
    return KnownWeights(
        config.audit.target.kind(), config.train.model_name, data, split, RunStore.at(str(tmp_path))
    ), data


def test_weights_come_into_the_run_directory(tmp_path, model):
    """Copied as safetensors; the record names them, and the accuracy is that of the model."""
    target, data = target_of(tmp_path, model)
    said = Silent()
    target.prepare(said)
    record, given = target.answer([], said)
    assert (record.index, record.weights, record.architecture, given) == (4, WEIGHTS, f"{__name__}:build", {})
    stored = ModelStore(target.store).read_weights(record)
    assert all(torch.equal(stored[name], value) for name, value in model.state_dict().items())
    right = model(torch.from_numpy(data.x)).argmax(dim=1).numpy() == data.y
    assert (record.train_accuracy, record.test_accuracy) == (right[:5].mean(), right[5:].mean())
    assert said.lines[0].startswith(f"the target finds the class of {right[:5].mean():.1%} of its members")


def test_a_target_no_better_than_chance_is_doubted(tmp_path, model):
    """A model that always gives the class which no record has."""
    with torch.no_grad():
        model[2].bias[:] = torch.tensor([-1e6, -1e6, 0.0])
    target, data = target_of(tmp_path, model)
    data.y[:] = 0
    said = Silent()
    target.prepare(said)
    assert "hardly better than chance" in said.lines[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.append(nn.Linear(3, 3)), "does not fit {name}:build: 3.weight is not of it, and 1 more"),
        (lambda m: m.pop(2), "does not fit {name}:build: 2.weight is missing, and 1 more"),
        (lambda m: m.__setitem__(2, nn.Linear(8, 5)), "2.weight is [5, 8], not [3, 8], and 1 more"),
    ],
)
def test_weights_of_another_model_are_refused(tmp_path, model, change, message):
    """The first that does not fit is named, with the key that says what builds the target."""
    change(model)
    with pytest.raises(DataError) as error:
        target_of(tmp_path, model)[0].prepare(Silent())
    assert message.format(name=__name__) in str(error.value)
    assert str(error.value).endswith("name what builds the target as audit.target.model")


def test_the_key_of_a_model_that_does_not_do_is_named(tmp_path, model):
    """One that cannot be loaded, and one that gives another number of outputs."""
    with pytest.raises(ConfigError, match="^audit.target.model: cannot load 'nowhere:build'"):
        target_of(tmp_path, model, model="nowhere:build")[0].prepare(Silent())
    wider = two_for_one((4,), 3)
    with pytest.raises(ConfigError, match=r"^audit.target.model: .*two_for_one gives \(5, 4\) for 5 records"):
        target_of(tmp_path, wider, model=f"{__name__}:two_for_one")[0].prepare(Silent())


def test_weights_of_a_wrapped_model_come_under_its_own_names(tmp_path, model):
    """What was left out of the names is said, and the copy has the model's own."""
    target, _ = target_of(tmp_path, model)
    state = {f"module._orig_mod.{name}": value for name, value in model.state_dict().items()}
    torch.save({"n_averaged": torch.tensor(3), **state}, tmp_path / "target.pt")
    said = Silent()
    target.prepare(said)
    assert said.lines[0] == (
        "audit.target.weights: the 4 weights are those of the names that begin with 'module._orig_mod.'; left out: "
        "n_averaged"
    )
    stored = safetensors.torch.load(target.store.read(WEIGHTS))
    assert all(torch.equal(stored[name], value) for name, value in model.state_dict().items())


def test_a_refused_target_leaves_nothing_in_the_run_directory(tmp_path, model):
    """Its weights were copied before it was known that they give no numbers."""
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    target, _ = target_of(tmp_path, model)
    with pytest.raises(DataError):
        target.prepare(Silent())
    assert target.store.read(WEIGHTS) is None
