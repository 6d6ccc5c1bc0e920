"""Mistakes that the command finds before any work: one line and exit code 2. No Ray is started."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from raymeter.cli.main import main

DEMO = str(Path(__file__).parents[2] / "configs/demo.yaml")
CUSTOM = """
import torch
from torch import nn

def rates(shape, classes):
    _ = [rate.item() for rate in torch.linspace(0, 0.1, 3)]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

def too_few(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))

def one_logit(shape, classes):
    return nn.Linear(shape[0], 1)

class Named(nn.Linear):
    def forward(self, x):
        return {"loss": None, "logits": super().forward(x.flatten(1))}

def named(shape, classes):
    return Named(64, classes)

def records(settings):
    return torch.arange(200.0).reshape(100, 2), torch.arange(100) % 2

def logits_only(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""
FEW = "audit.num_ref_models=1"


@pytest.fixture
def dry_run(tmp_path, monkeypatch, capsys):
    """Dry-runs the demo in an empty folder: exit code, what was printed, what was complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "own", raising=False)

    def run(*overrides: str) -> tuple[int, str, str]:
        code = main(["audit", DEMO, f"run.log_dir={tmp_path}/x", *overrides, "--dry-run"])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.epoch=3"], "error: train.epoch: unknown; did you mean epochs?"),
        (["data.pool_size=1798"], "error: digits"),
        (["audit.data_size=802"], "error: audit.data_size: cannot audit 802 of 800 records"),
        (["data.dataset=arrays"], "error: data.path"),
        (["data.dataset=arrays", "data.path=/nonexistent.npz"], "error: data.path: /nonexistent.npz"),
        (["train.model_name=nope:f"], "error: train.model_name: cannot load 'nope:f'"),
        (["run.log_dir=/dev/null/x"], "error: /dev/null/x/"),
        (["run.log_dir=foo://bar"], "error: foo://bar/run.json cannot be opened"),
        (["run.num_experiments=0"], "error: run.num_experiments: must be greater than or equal to 1, got 0"),
        (["audit.data_size=2"], "error: audit.data_size: the 2 audited records are all members, or all non-members"),
        (
            [FEW, "audit.attacks=[{name: lira, variance: per_sample}]"],
            "error: audit.attacks: lira cannot run with 4 models",
        ),
        (
            [FEW, "audit.attacks=[{name: rmia, offline_a: tuned}]"],
            "error: audit.attacks: rmia cannot run with 4 models",
        ),
        (
            ["audit.attacks=[{name: stack, of: [loss, {name: stack, of: [loss, rmia]}]}]"],
            "error: audit.attacks[0].of: a stack cannot be part of a stack; list its attacks",
        ),
        (
            ["audit.attacks=[qmia]", "audit.population_size=19"],
            "error: audit.population_size: qmia fits its regressors on the population, at least 20 records, got 19",
        ),
    ],
)
def test_dry_run_finds_mistakes(dry_run, overrides, message):
    """What would fail later fails in a dry run, with the same line."""
    code, _, complaint = dry_run(*overrides)
    assert code == 2
    assert complaint.startswith(message)
    assert len(complaint.splitlines()) == 1


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["train.model_name=own:rates"], ""),
        (
            ["train.model_name=own:too_few"],
            "error: train.model_name: own:too_few gives (2, 3) for two records; it must give (2, 10)",
        ),
        (
            ["train.model_name=own:one_logit", "data.dataset=own:records", "data.pool_size=60"],
            "error: train.model_name: own:one_logit gives (2, 1) for two records; it must give (2, 2), a logit per class: "
            "0 and its own, torch.cat([torch.zeros_like(z), z], dim=1)",
        ),
        (
            ["train.model_name=own:named"],
            "error: train.model_name: own:named gives a dict (loss, logits); it must give the tensor of logits alone: "
            "return output['logits'], in a module of your own around the model",
        ),
        (["audit.attacks=[{name: qmia, model: 'own:rates'}]"], ""),
        (
            ["audit.attacks=[{name: qmia, model: 'own:logits_only'}]"],
            "error: audit.attacks: the model of qmia cannot be used (own:logits_only gives (2, 10) for two records; "
            "it must give (2, 20)",
        ),
    ],
)
def test_dry_run_tries_the_users_own_model(dry_run, tmp_path, overrides, complaint):
    """A model that uses tensor values while it is built is accepted; one with too few outputs is refused."""
    (tmp_path / "own.py").write_text(CUSTOM)
    code, _, said = dry_run(*overrides)
    assert said.startswith(complaint)
    assert code == (2 if complaint else 0), said


def test_missing_data_are_said_to_be_missing(dry_run):
    """Data that an audit would download are not an error of a dry run."""
    code, printed, _ = dry_run("data.dataset=cifar10", "data.data_dir=/nonexistent", "train.model_name=cnn")
    assert code == 0
    assert "data: not here yet (cifar10" in printed


def test_dry_run_says_which_columns_are_features(dry_run, tmp_path):
    """And which are taken for ids."""
    rng = np.random.default_rng(0)
    columns = {name: rng.normal(size=100) for name in ("age", "income")} | {
        "id": np.arange(100),
        "y": np.arange(100) % 2,
    }
    parquet.write_table(pa.table(columns), tmp_path / "mine.parquet")
    overrides = ["data.dataset=arrays", "data.path=mine.parquet", "data.pool_size=60", "train.model_name=mlp"]
    code, said, _ = dry_run(*overrides)
    assert code == 0
    assert "records: 2 features (age, income), without id, which are taken for ids (rename one" in said


def test_dry_run_refuses_a_directory_of_other_code(dry_run, tmp_path):
    """As the audit would, with the name of the file."""
    (tmp_path / "own.py").write_text(CUSTOM)
    before = {"own:rates": {"files": {"own.py": "0"}, "packages": {}, "main": "own.py", "unsure": []}}
    (tmp_path / "x/models").mkdir(parents=True)
    (tmp_path / "x/models/model_0.json").write_text("{}")
    (tmp_path / "x/code.json").write_text(json.dumps(before))
    (tmp_path / "x/run.json").write_text(json.dumps({"train": {"model": "own:rates"}}))
    code, _, complaint = dry_run("train.model_name=own:rates")
    assert code == 2
    assert "x holds models of other code: train.model_name own:rates: own.py has changed. Put that back" in complaint
