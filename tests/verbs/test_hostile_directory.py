"""A run directory of somebody else runs no code, whatever names it holds, in any verb."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from audits import stored_audit

from raymeter.cli.main import main
from raymeter.errors import RaymeterError
from raymeter.pipeline.console import StageConsole
from raymeter.pipeline.sweep import prepare_sweep
from raymeter.signals.stored import INDEX
from raymeter.storage.run_store import RunStore
from raymeter.storage.seals import digest_of_record
from raymeter.sweep.space import build_sweep

EVIL = "evil_of_directory:build"
QMIA = {"name": "qmia", "label": "q", "model": EVIL}


def config_with(config: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A configuration with one other name, where a section has such a key or not."""
    section, _, name = key.partition(".")
    return {**config, section: {**config.get(section, {}), name: value}}


STORED = {
    "data.dataset": EVIL,
    "data.path": EVIL,
    "train.model_name": EVIL,
    "train.fit": EVIL,
    "audit.target": {"query": EVIL, "members": EVIL},
    "audit.attacks": [QMIA, {"name": "loss"}],
    "audit.groups": EVIL,
    "imported.format": EVIL,
}


@pytest.fixture
def hostile(tmp_path, monkeypatch) -> Path:
    """A run directory, and a module below the working directory that leaves a trace where it is imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "evil_of_directory.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    store = stored_audit(tmp_path / "run", 6, 200)
    identity = {"train": {"model": EVIL, "fit": EVIL}, "data": {"dataset": EVIL, "sha256": EVIL}}
    store.write_json("run.json", {"store_version": 1, "run": {"random_seed": 0}, **identity})
    store.write_json("code.json", {EVIL: {"files": {EVIL: EVIL}, "packages": {}, "main": EVIL}})
    store.write_json("models/model_0.json", {"architecture": EVIL, "sha256": EVIL})
    return tmp_path / "run"


def verbs(path: Path) -> list[list[str]]:
    """Every verb that reads a run directory or a report."""
    run, report = str(path), str(path / "report")
    out = str(path.parent / "out")
    return [
        ["score", run, "--overwrite"],
        ["explain-difference", run, run],
        ["export", run, "--format", "arrays", "--out", out],
        ["compare", run, run],
        ["report", run],
        ["report", report],
    ]


@pytest.mark.parametrize("key", STORED)
def test_no_stored_name_is_imported(hostile, key):
    """One edited JSON and a file below the working directory ran code, with equal figures."""
    store = RunStore.at(str(hostile))
    index = store.read_sealed(INDEX, "")
    config = config_with(index["config"], key, STORED[key])
    # what somebody who can write the directory writes: with a seal that fits
    store.write_sealed(INDEX, {**index, "config": config, "run": digest_of_record(store.read_sealed("run.json", ""))})
    codes = [main(verb) for verb in verbs(hostile)]
    assert codes[0] == 0 and set(codes) <= {0, 2}
    metrics = hostile / "report/metrics.json"
    if metrics.exists():
        about = json.loads(metrics.read_text())
        metrics.write_text(
            json.dumps({**about, "provenance": {"config": config, "dataset": {"name": EVIL, "sha256": EVIL}}})
        )
        for verb in verbs(hostile)[3:]:
            assert main(verb) in (0, 2), verb
    sweep = build_sweep(
        {"run": {"log_dir": str(hostile)}, "sweep": {"space": [{"attack": "loss"}, {"attack": "rmia"}]}}
    )
    try:
        prepare_sweep(sweep, store, StageConsole())
    except RaymeterError as error:
        assert len(str(error).splitlines()) == 1
    assert not (hostile.parent / "ran").exists()
    assert "evil_of_directory" not in sys.modules
