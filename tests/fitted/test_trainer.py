"""Training one model: repeatable, resumable to the same bits, and as the recipe says."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from recipes import RECIPE

from raymeter.models.inputs import normalise
from raymeter.training.augment import augment_batch
from raymeter.training.optimizer import learning_rate_at
from raymeter.training.trainer import Trainer, TrainingData, fit


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 81)
    x = (rng.integers(0, 100, (81, 1, 8, 8)) + 100 * y[:, None, None, None]).astype(np.uint8)
    return TrainingData.on_device(x, y, 2, torch.device("cpu"))


MEMBER = np.arange(81) < 49


def train(data, recipe, seed=1):
    return fit(Trainer(data, MEMBER, recipe, seed), lambda trainer: None)


def weights(model):
    return {name: value.numpy() for name, value in model.state_dict().items()}


def assert_equal_weights(first, second):
    for name, value in weights(first).items():
        np.testing.assert_array_equal(value, weights(second)[name], err_msg=name)


def test_fit_learns_and_evaluates_both_halves(data):
    """A learnable task is learned, and both halves are measured."""
    fitted = train(data, replace(RECIPE, epochs=15))
    assert fitted.train_accuracy > 0.9
    assert fitted.test_accuracy > 0.9
    assert fitted.train_loss < 0.4


def test_fit_repeats_to_the_bit_and_differs_by_seed(data):
    """The seed decides everything."""
    assert_equal_weights(train(data, RECIPE).model, train(data, RECIPE).model)
    other = weights(train(data, RECIPE, seed=2).model)
    assert any((value != other[name]).any() for name, value in weights(train(data, RECIPE).model).items())


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        replace(RECIPE, optimizer="Adam", learning_rate=0.001),
        replace(RECIPE, optimizer="AdamW", learning_rate=0.001, ema=0.9),
        replace(RECIPE, model="wrn28-1", ema=0.99, epochs=2),
        replace(RECIPE, model="alexnet", epochs=2, augment="none"),
    ],
    ids=lambda recipe: f"{recipe.model}-{recipe.optimizer}-{recipe.ema}",
)
def test_resume_from_a_checkpoint_ends_with_the_same_bits(data, recipe):
    """Weights, momentum, moving average, batch-norm statistics and dropout all survive an interruption."""
    small = TrainingData(data.x[:40], data.y[:40], 2)
    member = MEMBER[:40] & (np.arange(40) % 2 == 0)
    undisturbed = fit(Trainer(small, member, recipe, 1), lambda trainer: None)
    first = Trainer(small, member, recipe, 1)
    first.train_epoch()
    second = Trainer(small, member, recipe, 1)
    second.load_state(first.state())
    assert second.epoch == 1
    assert_equal_weights(undisturbed.model, fit(second, lambda trainer: None).model)


@pytest.mark.parametrize("model", ["cnn", "alexnet"])
def test_resume_in_mid_epoch_ends_with_the_same_bits(data, model):
    """Stopped before any batch: order, augmentation and dropout go on where they were."""
    recipe = replace(RECIPE, model=model, augment="mirror_crop", batch_size=8, epochs=2)
    small = TrainingData(data.x[:40], data.y[:40], 2)
    member = MEMBER[:40] & (np.arange(40) % 2 == 0)
    undisturbed = fit(Trainer(small, member, recipe, 1), lambda trainer: None)
    trainer, stops = Trainer(small, member, recipe, 1), 0
    while True:
        batches_left = iter([True, True])
        fitted = fit(trainer, lambda trainer: None, partial(next, batches_left, False))
        if fitted is not None:
            break
        stops += 1
        saved = trainer.state()
        trainer = Trainer(small, member, recipe, 1)
        trainer.load_state(saved)
    assert stops == 2
    assert_equal_weights(undisturbed.model, fitted.model)


def test_learning_rate_warms_up_and_follows_the_cosine():
    """Linear from 0 to the peak, then cos(7 pi t / 16)."""
    assert learning_rate_at(RECIPE, 0.05) == pytest.approx(0.025)
    assert learning_rate_at(RECIPE, 0.5) == pytest.approx(0.05 * math.cos(7 * math.pi * 0.5 / 16))
    assert learning_rate_at(replace(RECIPE, schedule="constant"), 0.5) == 0.05


def test_augment_mirror_flips_about_half():
    """Every image is itself or its mirror image, and both occur."""
    x = torch.arange(40.0).reshape(10, 1, 2, 2)
    out = augment_batch(x, "mirror", torch.Generator().manual_seed(0))
    flipped = [torch.equal(out[i], x[i].flip(-1)) for i in range(10)]
    assert all(flipped[i] or torch.equal(out[i], x[i]) for i in range(10))
    assert 0 < sum(flipped) < 10


def test_augment_crop_shifts_reflected_images():
    """Each output is a window of the reflect-padded image."""
    x = torch.rand(6, 2, 8, 8)
    out = augment_batch(x, "mirror_crop", torch.Generator().manual_seed(3))
    assert out.shape == x.shape
    for i in range(6):
        sources = [torch.nn.functional.pad(v[None], (4, 4, 4, 4), mode="reflect")[0] for v in (x[i], x[i].flip(-1))]
        windows = [s[:, t : t + 8, left : left + 8] for s in sources for t in range(9) for left in range(9)]
        assert any(torch.equal(out[i], window) for window in windows)


def test_normalise_maps_bytes_to_one():
    """0 and 255 become -1 and 1; float features stay as they are."""
    assert normalise(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]
    assert normalise(torch.tensor([3.5])).tolist() == [3.5]


def test_recipe_hash_covers_every_field():
    """Changing any field changes the hash."""
    changes = {
        "model": "mlp",
        "optimizer": "Adam",
        "schedule": "constant",
        "augment": "none",
        "precision": "bf16",
        "fit": "mine:fit",
    }
    for name, value in vars(RECIPE).items():
        changed = changes.get(name, 0.5 if value is None else value if isinstance(value, str) else value + 1)
        assert replace(RECIPE, **{name: changed}).hash != RECIPE.hash, name
