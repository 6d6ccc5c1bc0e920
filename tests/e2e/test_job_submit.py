"""`ray job submit -- python -m raymeter.audit ...` on a real head that this test starts and stops by itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import yaml
from audits import SECTIONS

RAY = str(Path(sys.executable).with_name("ray"))


def free_ports(count):
    """Ports of the loopback interface that nobody uses at present."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """Environment for submitting to an own head with token authentication; the head ends by its process id."""
    folder = Path(tempfile.mkdtemp(prefix="rm", dir="/tmp"))  # Ray's socket paths must be short
    token = folder / "token"
    token.write_text("0123456789abcdef0123456789abcdef")
    token.chmod(0o600)
    gcs, dashboard, client, agent, grpc, metrics = free_ports(6)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    process = subprocess.Popen(
        [RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={gcs}", "--num-cpus=2"]
        + ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
        + [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={grpc}"]
        + [f"--metrics-export-port={metrics}", f"--temp-dir={folder}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    below = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    for each in psutil.wait_procs([psutil.Process(process.pid), *below], timeout=3)[1]:
        each.kill()
    process.wait(60)
    shutil.rmtree(folder, ignore_errors=True)


def submit(environment, folder, *arguments, module="raymeter.audit"):
    """Submit a job from a folder, waiting until the head can take it."""
    deadline = time.monotonic() + 90
    while True:
        done = subprocess.run(
            [RAY, "job", "submit", "--working-dir", folder, "--", sys.executable, "-m", module, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        ready = "No available agent" not in done.stderr and "Failed to connect" not in done.stderr
        if ready or time.monotonic() > deadline:
            return done
        time.sleep(1)


def test_submitted_audit_and_sweep_run_on_the_cluster(head, tmp_path):
    """The jobs end with exit code 0, use the head's Ray and leave a complete report; the sweep reads the audit's."""
    folder, log_dir = tmp_path / "job", tmp_path / "audit"
    folder.mkdir()
    (folder / "audit.yaml").write_text(yaml.safe_dump({**SECTIONS, "run": {"log_dir": str(log_dir)}}))
    done = submit(head, folder, "audit.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Perform Privacy Audit" in done.stdout
    metrics = json.loads((log_dir / "report/metrics.json").read_text())
    assert metrics["provenance"]["cluster"]["cpus"] == 2
    assert len(metrics["attacks"]["rmia"]["targets"]) == 4
    space = [{"attack": "rmia", "offline_a": [0.1, 0.9]}, {"attack": "loss"}]
    sweep = {"run": {"log_dir": str(log_dir)}, "sweep": {"name": "job", "space": space}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    done = submit(head, folder, "sweep.yaml", module="raymeter.sweep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 settings tried on 2 targets" in done.stdout
    assert json.loads((log_dir / "sweep/job/summary.json").read_text())["settings"] == 3


def test_submitted_mistake_fails_with_its_line(head, tmp_path):
    """A wrong key makes the job fail, and the one line is in its log."""
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "audit.yaml").write_text("run: {log_dir: x}\ntrain: {epoch: 3}\n")
    done = submit(head, folder, "audit.yaml")
    assert done.returncode == 1
    assert "error: train.epoch: unknown; did you mean epochs?" in done.stdout + done.stderr
