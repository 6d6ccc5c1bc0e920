"""The network for tables, whose first layer learns from members alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from recipes import RECIPE
from torch import nn

from raymeter.models import build_model
from raymeter.models.tabular import Standardise, fills_gaps, learn_from_members
from raymeter.training.trainer import Trainer, TrainingData

NAN = float("nan")


def test_gaps_become_the_median_and_columns_have_one_scale():
    """By hand; a column without spread, or without any value, stays finite."""
    layer = Standardise(4)
    layer.learn(torch.tensor([[1.0, 5.0, NAN, NAN], [3.0, 5.0, NAN, 2.0], [5.0, 5.0, NAN, 4.0]]))
    torch.testing.assert_close(layer.median, torch.tensor([3.0, 5.0, 0.0, 2.0]))
    torch.testing.assert_close(layer.mean, torch.tensor([3.0, 5.0, 0.0, 8 / 3]))
    out = layer(torch.tensor([[NAN, 6.0, 1.0, NAN]]))
    torch.testing.assert_close(out, torch.tensor([[0.0, 1.0, 1.0, (2 - 8 / 3) / np.sqrt(8 / 9)]], dtype=torch.float32))


@pytest.mark.parametrize("outlier", [1e30, -1e6, NAN])
def test_no_record_of_the_other_half_changes_what_members_look_like(outlier):
    """Medians, means and deviations of all records would tell a model something of its non-members."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    x[::7, 2] = NAN
    member, y = np.arange(60) < 30, np.arange(60) % 2
    other = x.copy()
    other[45] = outlier
    recipe = replace(RECIPE, model="tabular", epochs=2, augment="none")
    seen = []
    for records in (x, other):
        trainer = Trainer(TrainingData.on_device(records, y, 2, torch.device("cpu")), member, recipe, 1)
        (layer,) = (layer for layer in trainer.model.modules() if isinstance(layer, Standardise))
        before = layer(torch.from_numpy(x[member]))
        trainer.train_epoch()
        seen.append((before, trainer.model(torch.from_numpy(x[member]))))
    for first, second in zip(*seen, strict=True):
        assert torch.equal(first, second) and torch.isfinite(first).all()


def test_what_was_learnt_is_stored_with_the_weights():
    """Loaded weights fill and scale as the model did that was trained."""
    model, copy = build_model("tabular", (3,), 2), build_model("tabular", (3,), 2)
    learn_from_members(model, torch.tensor([[1.0, NAN, 3.0], [2.0, 5.0, 9.0]]))
    copy.load_state_dict(model.state_dict())
    x = torch.tensor([[NAN, 1.0, 2.0]])
    assert torch.equal(model(x), copy(x))


def test_only_models_with_the_layer_fill_gaps():
    """The user's own may have it too, in any place."""
    assert fills_gaps(build_model("tabular", (3,), 2)) and not fills_gaps(build_model("mlp", (3,), 2))
    assert fills_gaps(nn.Sequential(nn.Sequential(Standardise(3)), nn.Linear(3, 2)))
