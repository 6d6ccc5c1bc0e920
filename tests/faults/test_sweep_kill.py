"""A sweep that is killed goes on where it was."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from audits import stored_audit
from pyarrow import parquet

from raymeter.schema.seeds import seed_for
from raymeter.signals.stored import load_signals
from raymeter.sweep.evaluate import evaluate
from raymeter.sweep.metric import Metric
from raymeter.sweep.space import load_sweep, settings_of
from raymeter.sweep.target_halves import divide_targets, without_models_of

SWEEP = """
run: {log_dir: LOG_DIR}
cluster: {num_cpus: 2}
sweep:
  searcher: random
  samples: 120
  block: 2
  space:
    - {attack: rmia, offline_a: {uniform: [0.0, 1.0]}, form: count}
"""


def start(path: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "raymeter.sweep", str(path / "sweep.yaml")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_killed_sweep_goes_on_with_what_is_left(tmp_path):
    """SIGKILL after some blocks: the next start keeps them, does the rest, and finds what a loop finds."""
    store = stored_audit(tmp_path, 8, 4000)
    (tmp_path / "sweep.yaml").write_text(SWEEP.replace("LOG_DIR", str(tmp_path)))
    blocks = tmp_path / "sweep/sweep/blocks"
    process = start(tmp_path)
    deadline = time.monotonic() + 400
    while len(list(blocks.glob("*.json")) if blocks.is_dir() else []) < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    kept = {path.name: path.stat().st_mtime_ns for path in blocks.glob("*.json")}
    assert 4 <= len(kept) < 60
    again = start(tmp_path)
    output, _ = again.communicate(timeout=240)
    assert again.returncode == 0, output
    assert all((blocks / name).stat().st_mtime_ns == when for name, when in kept.items())
    found = parquet.read_table(io.BytesIO(store.read("sweep/sweep/results.parquet")))
    signals, config = load_signals(store).signals, load_sweep(tmp_path / "sweep.yaml")
    seed = seed_for(0, "sweep")
    selection, report = divide_targets(signals, 0.5, seed)
    signals = without_models_of(signals, selection, report)
    settings = settings_of(config)
    assert found.num_rows == len(settings) == 120
    for row in (0, 1, 60, 119):
        expected = evaluate(settings[row].attack, signals, selection, settings[row].limits, Metric("auc"), seed)
        assert found.column("metric")[row].as_py() == pytest.approx(expected.mean())
