"""SIGSTOP where it hurts, and Ray's own services killed: told, mended where that can be, and the same bits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from audits import assert_same_bits, serial_signals, signals_of, small_config

from raymeter.config.sections import ClusterSection
from raymeter.distributed import watchman
from raymeter.distributed.session import connected
from raymeter.pipeline.log_notes import log_as_notes
from raymeter.schema.reporter import Silent

LONG = {"epochs": 40, "model_name": "audits:Unhurried"}
AUDIT = {"batch_size": 20}


def below(name: str) -> list[int]:
    """Processes below this one that name themselves so."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if name in " ".join(process.cmdline()) and process.status() not in ("zombie", "stopped"):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def stop_one(name: str, said: Silent, after: str = "") -> None:
    """Wait for such a process, and for a line, and stop it; then wait until that is told."""
    lines, deadline = len(said.lines), time.monotonic() + 200
    while time.monotonic() < deadline and not (found := below(name)):
        time.sleep(0.01)
    os.kill(found[0], signal.SIGSTOP)
    while time.monotonic() < deadline and not any(f"(process {found[0]}) was stopped" in x for x in said.lines[lines:]):
        time.sleep(0.05)


NAMES = ("ray::Leases", "RayTrainWorker", "gcs_server", "SignalActor")


def test_what_is_stopped_is_told_and_mended(tmp_path, monkeypatch):
    """Ray waited for it for ever: the queue, the only worker, the GCS and the only signal actor, one after the other."""
    monkeypatch.setattr(watchman, "STOPPED_SECONDS", 1.0)
    monkeypatch.setattr(watchman, "LOOK_SECONDS", 0.5)
    monkeypatch.setenv("AUDITS_PAUSE", "0.01")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
    config, said = small_config(tmp_path, audit=AUDIT, train=LONG), Silent()

    def strike():
        deadline = time.monotonic() + 200
        while not list(tmp_path.glob("models/*.checkpoint.safetensors")) and time.monotonic() < deadline:
            time.sleep(0.02)
        for name in NAMES:
            stop_one(name, said)

    striker = threading.Thread(target=strike, daemon=True)
    striker.start()
    with log_as_notes(said), connected(ClusterSection(num_cpus=1)):
        signals, _ = signals_of(config, said)
    striker.join(5)
    for name in NAMES:
        done = "it is told to go on" if name == "gcs_server" else "it is ended, and another takes its place"
        assert [x for x in said.lines if name in x and "was stopped for 1 s" in x and done in x], (name, said.lines)
    monkeypatch.setenv("AUDITS_PAUSE", "0")
    assert_same_bits(signals, serial_signals(config))


CLIENT = """
import sys, time
import ray
from raymeter.cli.guard import guarded
from raymeter.config.sections import ClusterSection
from raymeter.distributed.session import connected

def command():
    with connected(ClusterSection(num_cpus=1)):
        print("up", flush=True)
        ray.get(ray.remote(lambda: time.sleep(300)).remote())
    return 0

sys.exit(guarded(command))
"""


@pytest.mark.parametrize("service", ["gcs_server", "raylet", "driver"])
def test_a_killed_service_is_told_and_nothing_stays(service):
    """The GCS or raylet killed: the driver waited for a minute, and ended with nothing; agents are gone in 30 s."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    driver = subprocess.Popen(
        [sys.executable, "-c", CLIENT], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert driver.stdout.readline() == "up\n"
    processes = psutil.Process(driver.pid).children(recursive=True)
    victim = next((p for p in processes if p.name() == service), psutil.Process(driver.pid))
    victim.kill()
    start = time.monotonic()
    _, said = driver.communicate(timeout=60)
    line = "error: this process was ended from outside (SIGKILL, out of memory)"
    if service != "driver":
        line = f"error: Ray's {service} on this machine has ended (killed, or out of memory?); what is finished is kept"
    assert said.splitlines()[-1].startswith(line), said
    assert driver.returncode == (-signal.SIGKILL if service == "driver" else 1)
    assert psutil.wait_procs(processes, timeout=30 - (time.monotonic() - start))[1] == []
