"""sys.exit in the user's code, at every place where some of it is imported or called, names that code."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from audits import small_config

from raymeter.config.user_functions import load_function
from raymeter.data.readers.user_function import load_custom
from raymeter.errors import RaymeterError
from raymeter.models import build_model
from raymeter.pipeline.checks import check_fit, make_audit_split
from raymeter.schema.dataset import Dataset
from raymeter.training.trainer import TrainingData
from raymeter.training.user_trainer import OwnTrainer

WAY_OUT = "called sys.exit(0); have it raise an error"


def leave(model, x=None, y=None):
    """A loader, a builder, a training function, a query."""
    sys.exit(0)


class Leaves(torch.nn.Module):
    """A model that ends the process when it is asked."""

    def __init__(self, *_):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        sys.exit(0)


@pytest.fixture
def here(monkeypatch, tmp_path):
    """The name of this module as users write it, and that of one which ends the process when it is imported."""
    monkeypatch.setitem(sys.modules, "leaving", sys.modules[__name__])
    (tmp_path / "leaves_at_once.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def trained(config):
    data = TrainingData.on_device(np.zeros((8, 4), np.float32), np.arange(8) % 2, 2, torch.device("cpu"))
    recipe = replace(config.train.recipe(), model="mlp", fit="leaving:leave")
    OwnTrainer(data, np.arange(8) < 4, recipe, 0).train_epoch()


def checked(config):
    x, y = np.zeros((40, 4), np.float32), np.arange(40) % 2
    dataset = Dataset("made up", x, y, x[:30], y[:30], 2)
    check_fit(config, dataset, make_audit_split(config, dataset))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda config: load_function("train.fit", "leaves_at_once:f", ""),
            "train.fit: the module of leaves_at_once:f",
        ),
        (
            lambda config: load_custom(replace(config.data_spec(), dataset="leaves_at_once:f")),
            "data.dataset: the module of",
        ),
        (
            lambda config: load_custom(replace(config.data_spec(), dataset="leaving:leave")),
            "data.dataset: leaving:leave",
        ),
        (lambda config: build_model("leaving:leave", (4,), 2), "train.model_name: leaving:leave"),
        (trained, "train.fit: leaving:leave"),
        (checked, "train.model_name: leaving:Leaves"),
    ],
)
def test_sys_exit_is_refused_where_the_users_code_runs(here, call, said):
    """An audit ended with exit code 0, and nothing had been audited."""
    config = small_config(here, train={"model_name": "leaving:Leaves"}, audit={"population_size": None})
    with pytest.raises(RaymeterError) as error:
        call(config)
    assert str(error.value).startswith(said) and str(error.value).endswith(WAY_OUT)
