"""docs/bring-your-own-model.md and docs/audit-a-trained-model.md, followed to the letter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import service
import torch
from torch.utils.data import TensorDataset

from raymeter.config.load import build_config
from raymeter.data import load_dataset

DOCS = Path(__file__).parents[2] / "docs"
OWN, TRAINED = ((DOCS / f"{name}.md").read_text() for name in ("bring-your-own-model", "audit-a-trained-model"))
COMMANDS = {"python": [sys.executable], "raymeter": [sys.executable, "-m", "raymeter.cli.main"]}


def blocks(text, language):
    """The blocks of a language, without their indentation."""
    found = re.findall(rf"   ```{language}\n(.*?)   ```", text, re.S)
    return [re.sub(r"^   ", "", block, flags=re.M) for block in found]


def follow(command, folder):
    """Run a line of a document."""
    program, *arguments = command.split()
    line = [*COMMANDS[program], *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=300)


def test_own_model_and_training_as_documented(tmp_path):
    """Two functions under 40 lines and a YAML file: an audit; after an edit of the file, one line that says so."""
    (code,), (config,), (command,) = (blocks(OWN, language) for language in ("python", "yaml", "bash"))
    assert len(code.splitlines()) < 40
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "audit.yaml").write_text(config)
    run = follow(command, tmp_path)
    assert run.returncode == 0, run.stderr
    metrics = json.loads((tmp_path / "mine/report/metrics.json").read_text())
    assert metrics["attacks"]["rmia"]["auc"]["low"] > 0.5
    assert all(model["train_accuracy"] > 0.95 for model in metrics["provenance"]["models"])
    (tmp_path / "mine.py").write_text(code.replace("0.003", "0.004"))
    again = follow(command, tmp_path)
    assert again.returncode == 2
    assert (
        "mine holds models of other code: train.model_name mine:build: mine.py has changed. Put that back"
        in again.stderr
    )
    assert len(again.stderr.strip().splitlines()) == 1


def test_own_records_as_documented(monkeypatch):
    """A torch Dataset given as arrays by a function."""
    (code,) = re.findall(r"^```python\n(.*?)```", OWN, re.S | re.M)
    data = TensorDataset(torch.arange(120.0).reshape(40, 3), torch.arange(40) % 2)
    mine = types.ModuleType("own_records")
    mine.MyDataset = lambda folder: data
    exec(compile(code, "bring-your-own-model.md", "exec"), mine.__dict__)
    monkeypatch.setitem(sys.modules, "own_records", mine)
    sections = {"run": {"log_dir": "x"}, "data": {"dataset": "own_records:records", "pool_size": 20}}
    found = load_dataset(build_config(sections).data_spec())
    assert (found.x.shape, found.x.dtype, found.num_classes, found.total) == ((20, 3), np.float32, 2, 40)


def test_a_trained_model_as_documented(tmp_path):
    """A target from a script of its own: attacked with its weights, and asked over HTTP, with about the same result."""
    (script, asking), configs, commands = (blocks(TRAINED, language) for language in ("python", "yaml", "bash"))
    (tmp_path / "train_target.py").write_text(script)
    for name, config in zip(("audit.yaml", "asked.yaml"), configs, strict=True):
        (tmp_path / name).write_text(config)
    for command in commands[:2]:
        run = follow(command, tmp_path)
        assert run.returncode == 0, run.stderr
    assert "the target finds the class of 100.0% of its members" in run.stdout
    known = json.loads((tmp_path / "target_audit/report/metrics.json").read_text())
    assert known["attacks"]["rmia"]["auc"]["low"] > 0.5
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
    model.load_state_dict(torch.load(tmp_path / "target.pt", weights_only=True))
    with service.serving(model) as (address, asked):
        (tmp_path / "service.py").write_text(asking.replace("http://127.0.0.1:8000/predict", address))
        run = follow(commands[2], tmp_path)
    assert run.returncode == 0, run.stderr
    outside = len(np.load(tmp_path / "asked_audit/signals/masks.npz")["population_ids"])
    assert 200 < outside < 300  # without those that the target was trained on
    assert asked["records"] == 1000 + outside
    found = json.loads((tmp_path / "asked_audit/report/metrics.json").read_text())
    assert abs(found["attacks"]["loss"]["auc"]["estimate"] - known["attacks"]["loss"]["auc"]["estimate"]) < 1e-3


SCALED = """
from scale_of_target import SCALE
from torch import nn
from train_target import build as plain


class Scaled(nn.Sequential):
    def forward(self, x):
        return super().forward(x) * SCALE


def build(shape, classes):
    return Scaled(*plain(shape, classes))
"""


def test_an_edit_of_what_a_target_imports_changes_its_figures(tmp_path):
    """The same weights under an edited `forward`: all stored signals were reused, and every figure was the old one."""
    (script, _), (config, _), commands = (blocks(TRAINED, language) for language in ("python", "yaml", "bash"))
    (tmp_path / "train_target.py").write_text(script)
    (tmp_path / "scaled.py").write_text(SCALED)
    (tmp_path / "audit.yaml").write_text(config)
    assert follow(commands[0], tmp_path).returncode == 0
    keys = "audit.target.model=scaled:build audit.num_ref_models=2 audit.attacks=[loss,rmia] train.epochs=2"
    found = []
    for scale in (1.0, 0.05):
        (tmp_path / "scale_of_target.py").write_text(f"SCALE = {scale}\n")
        run = follow(f"{commands[1]} {keys}", tmp_path)
        assert run.returncode == 0, run.stderr
        metrics = json.loads((tmp_path / "target_audit/report/metrics.json").read_text())
        found.append([metrics["attacks"][name]["targets"][0]["auc"] for name in ("loss", "rmia")])
    assert (
        "scale_of_target.py has changed since signals of the target were stored; they are computed anew" in run.stdout
    )
    assert "signals of 4 of 5 models are stored and are reused" in run.stdout
    assert found[0] != found[1]
