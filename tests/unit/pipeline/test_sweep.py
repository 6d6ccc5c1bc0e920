"""Sweeps that are refused: before a Ray is started, and without binding their name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from raymeter.cli.main import main
from raymeter.pipeline import sweep as pipeline


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """A run directory with made-up signals of eight models; a Ray that would be started ends the test."""
    rng = np.random.default_rng(0)
    half = np.array([rng.permutation(40) < 20 for _ in range(4)]).T
    member = np.concatenate([half, ~half], axis=1)
    np.savez(tmp_path / "mine.npz", signals=-rng.exponential(size=(40, 8)), member=member)
    assert main(["import", "--format", "arrays", str(tmp_path / "mine.npz"), "--out", str(tmp_path / "run")]) == 0

    def start(*_):
        raise AssertionError("a Ray was started")

    monkeypatch.setattr(pipeline, "connected", start)
    return tmp_path


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ([{"attack": "lira", "references": [1, 50]}], "error: sweep.space[0].references: 50 asked for, the audit has "),
        ([{"attack": "rmia", "temperature": [1.0, 2.0]}], "error: sweep.space: rmia with these settings needs logits"),
        ([{"attack": "rmia", "population": [5]}], "error: sweep.space[0].population: 5 asked for, the audit has 0"),
    ],
)
def test_a_space_that_cannot_be_is_refused_before_a_ray_is_started(imported, capsys, space, message):
    """It was found out after Ray had started; its name is free for another space."""
    section = {"name": "first", "space": space, "metric": "auc"}
    (imported / "sweep.yaml").write_text(json.dumps({"run": {"log_dir": str(imported / "run")}, "sweep": section}))
    assert main(["sweep", str(imported / "sweep.yaml")]) == 2
    complaint = capsys.readouterr().err.splitlines()
    assert len(complaint) == 1
    assert complaint[0].startswith(message)
    assert not (imported / "run/sweep").exists()
