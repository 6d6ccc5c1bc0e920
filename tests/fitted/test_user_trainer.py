"""The user's own training function: what it gets, what it may give back, and how it is interrupted and resumed."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from raymeter.config.load import build_config
from raymeter.data import load_dataset
from raymeter.errors import ConfigError, SignalError
from raymeter.pipeline.checks import check_fit, make_audit_split
from raymeter.training.trainer import TrainingData, fit
from raymeter.training.user_trainer import OwnTrainer, load_fit

RECORDS = 40


@pytest.fixture
def mine(monkeypatch) -> types.ModuleType:
    """A module that tests put functions into."""
    module = types.ModuleType("mine")
    monkeypatch.setitem(sys.modules, "mine", module)
    return module


def recipe():
    return replace(build_config({"run": {"log_dir": "x"}}).train.recipe(), model="mlp", fit="mine:train", epochs=3)


def trainer() -> OwnTrainer:
    """Half of some records, as 8-bit images."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (RECORDS, 1, 4, 4)).astype(np.uint8)
    data = TrainingData.on_device(x, np.arange(RECORDS) % 2, 2, torch.device("cpu"))
    return OwnTrainer(data, np.arange(RECORDS) < 20, recipe(), seed=7)


def test_it_gets_its_half_normalised_and_what_it_asks_for(mine):
    """Twenty records in [-1, 1], their classes, and by name what it wants."""
    seen = {}

    def train(model, x, y, *, seed, settings):
        seen.update(x=x, y=y, seed=seed, settings=settings)

    mine.train = train
    one = trainer()
    found = fit(one, lambda trainer: None)
    assert seen["x"].shape == (20, 1, 4, 4) and seen["x"].dtype == torch.float32
    assert -1 <= seen["x"].min() and seen["x"].max() <= 1
    assert seen["y"].tolist() == [i % 2 for i in range(20)]
    assert (seen["seed"], seen["settings"]["epochs"]) == (7, 3)
    assert found.model is one.model and 0 <= found.test_accuracy <= 1


def test_the_same_seed_gives_the_same_bits(mine):
    """torch's generator is seeded for the function, whatever was drawn before; ours is left alone."""

    def train(model, x, y):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += torch.randn_like(parameter)

    mine.train = train
    states = []
    for _ in range(2):
        torch.rand(3)
        before = torch.get_rng_state()
        states.append(fit(trainer(), lambda trainer: None).model.state_dict())
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))


def test_an_interrupted_function_goes_on_with_what_it_kept(mine):
    """It saves its place, is told to stop, and gets it back in the next attempt."""
    seen = []

    def train(model, x, y, *, go_on, save, saved):
        step = 0 if saved is None else int(saved["step"])
        seen.append(step)
        while step < 5:
            if not go_on():
                return
            step += 1
            save({"step": torch.tensor(step)})

    mine.train = train
    first, kept = trainer(), []
    first.after_save = lambda: kept.append(first.state())
    answers = iter([True, True, False])
    assert fit(first, lambda trainer: None, lambda: next(answers)) is None
    assert len(kept) == 2
    second = trainer()
    second.load_state(kept[-1])
    assert fit(second, lambda trainer: None) is not None
    assert seen == [0, 2]


def test_another_model_may_be_returned_if_it_has_the_same_weights(mine):
    """A copy is kept; a number and a model of another size are errors that say what to do."""
    copies = []

    def copied(model, x, y):
        copies.append(type(model)(*model.children()) if isinstance(model, nn.Sequential) else model)
        return copies[0]

    mine.train = copied
    assert fit(trainer(), lambda trainer: None).model is copies[0]
    mine.train = lambda model, x, y: 0.5
    with pytest.raises(SignalError, match="train.fit: mine:train returned float; return the trained model, or nothing"):
        fit(trainer(), lambda trainer: None)
    mine.train = lambda model, x, y: nn.Linear(2, 2)
    with pytest.raises(SignalError, match="returned a model with other weights than mlp has"):
        fit(trainer(), lambda trainer: None)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3, "mine:train is int; give a function fit"),
        (lambda model, x: None, "mine:train does not take a model, x and y; write fit"),
        (lambda model, x, y, *, device: None, "mine:train wants 'device'; write fit"),
        (lambda model, x, y, epochs: None, "mine:train wants 'epochs'; write fit"),
    ],
)
def test_functions_that_cannot_be_used_are_refused(mine, function, message):
    """Before anything is trained, with what it may ask for."""
    mine.train = function
    with pytest.raises(ConfigError, match=f"train.fit: {message}"):
        load_fit("mine:train")


def test_a_function_that_is_not_there_is_named(mine):
    """The module, or the name in it."""
    with pytest.raises(ConfigError, match="cannot load 'nowhere:fit' .ModuleNotFoundError"):
        load_fit("nowhere:fit")
    with pytest.raises(ConfigError, match="cannot load 'mine:fit' .AttributeError"):
        load_fit("mine:fit")


@pytest.mark.parametrize("key", [{"workers_per_model": 2}, {"ema": 0.9}])
def test_what_only_our_training_does_is_refused(mine, key):
    """It would be silently without effect."""
    mine.train = lambda model, x, y: None
    train = {"model": "mlp", "fit": "mine:train", **key}
    config = build_config({"run": {"log_dir": "x"}, "train": train, "data": {"pool_size": 200}})
    dataset = load_dataset(config.data_spec())
    with pytest.raises(ConfigError, match=f"train.{next(iter(key))}: is for raymeter's own training; leave it out"):
        check_fit(config, dataset, make_audit_split(config, dataset))


def test_model_is_another_word_for_model_name():
    """Both together are refused; a fit that is no module:function, too."""
    assert build_config({"run": {"log_dir": "x"}, "train": {"model": "mlp"}}).train.model_name == "mlp"
    for train, message in (({"model": "a", "model_name": "b"}, "not both"), ({"fit": "mine"}, "module:function")):
        with pytest.raises(ConfigError, match=message):
            build_config({"run": {"log_dir": "x"}, "train": train})


def test_recipes_without_a_function_keep_their_hash():
    """Models that were trained before this key existed are found again."""
    plain = build_config({"run": {"log_dir": "x"}}).train.recipe()
    assert plain.hash == "2860e2963f9a5aea"
    assert replace(plain, fit="mine:train").hash != plain.hash
