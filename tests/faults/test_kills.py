"""SIGKILL where it hurts: a training worker in mid-model, and the driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from audits import assert_same_bits, signals_of, small_config

from raymeter.config.load import build_config
from raymeter.distributed.session import connected

LONG = {"epochs": 150}


def run_here(config):
    """Signals of an audit on an embedded Ray of its own."""
    with connected(build_config({"run": {"log_dir": "x"}, "cluster": {"num_cpus": 2}}).cluster):
        return signals_of(config)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What an audit gives when nobody interferes."""
    return run_here(small_config(tmp_path_factory.mktemp("undisturbed"), train=LONG))[0]


def wait_for(condition, seconds=400):
    """Poll until a condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("what was waited for did not happen")


def training_workers():
    """Processes below this one that train models."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def test_killed_training_worker_resumes_its_model(undisturbed, tmp_path):
    """The audit finishes, says what it retried and why, and has the bits of an undisturbed run."""
    killed = []

    def kill_one_in_mid_model():
        wait_for(lambda: list(tmp_path.glob("models/*.checkpoint.safetensors")))
        pid = wait_for(training_workers)[0]
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    thread = threading.Thread(target=kill_one_in_mid_model)
    thread.start()
    signals, lines = run_here(small_config(tmp_path, train=LONG))
    thread.join()
    assert len(killed) == 1
    assert [line for line in lines if line.endswith("(attempt 2 of 3): its worker died")]
    assert_same_bits(undisturbed, signals)


def test_killed_driver_resumes(undisturbed, tmp_path):
    """After SIGKILL of the driver, the next start reuses what was done and ends with the same bits."""
    config = small_config(tmp_path / "run", train=LONG)
    path = tmp_path / "audit.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_none=True)))
    driver = subprocess.Popen(
        [sys.executable, "-m", "raymeter.audit", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: list(Path(tmp_path, "run/models").glob("model_*.json")))
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    finished = len(list(Path(tmp_path, "run/models").glob("model_*.json")))
    signals, lines = run_here(config)
    assert finished >= 1
    assert any("models are done already and are reused" in line for line in lines)
    assert_same_bits(undisturbed, signals)
    assert np.isfinite(signals.audit["log_prob"].values).all()
