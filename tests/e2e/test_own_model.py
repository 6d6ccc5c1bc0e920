"""docs/bring-your-own-model.md, followed to the letter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs/bring-your-own-model.md").read_text()


def block(language: str) -> str:
    """The first block of a language, without its indentation."""
    found = re.search(rf"   ```{language}\n(.*?)   ```", TEXT, re.S)
    assert found
    return re.sub(r"^   ", "", found[1], flags=re.M)


def test_own_model_and_training_as_documented(tmp_path):
    """Two functions under 40 lines and a YAML file: an audit; after an edit of the file, one line that says so."""
    code = block("python")
    assert len(code.splitlines()) < 40
    (tmp_path / "mine.py").write_text(code)
    (tmp_path / "audit.yaml").write_text(block("yaml"))
    assert block("bash").split() == ["raymeter", "audit", "audit.yaml"]
    command = [sys.executable, "-m", "raymeter.cli", "audit", "audit.yaml"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    metrics = json.loads((tmp_path / "mine/report/metrics.json").read_text())
    assert metrics["attacks"]["rmia"]["auc"]["low"] > 0.5
    assert all(model["train_accuracy"] > 0.95 for model in metrics["provenance"]["models"])
    (tmp_path / "mine.py").write_text(code.replace("0.003", "0.004"))
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert again.returncode == 2
    assert "mine holds models of a different audit: train.fit_source was" in again.stderr
    assert len(again.stderr.strip().splitlines()) == 1
