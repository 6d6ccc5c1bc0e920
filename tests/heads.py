"""Ray heads that a test starts and stops by itself: token authentication, own ports, ended by their process id."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

RAY = str(Path(sys.executable).with_name("ray"))


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody uses at present."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@contextmanager
def own_head(
    gcs: int, options: Sequence[str], more_environment: dict[str, str] | None = None
) -> Iterator[dict[str, str]]:
    """Start a head at a port; gives the environment of its clients, of jobs and of drivers alike."""
    folder = Path(tempfile.mkdtemp(prefix="rm", dir="/tmp"))  # Ray's socket paths must be short
    token = folder / "token"
    token.write_text("0123456789abcdef0123456789abcdef")
    token.chmod(0o600)
    dashboard, client, agent, grpc, metrics = free_ports(5)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
    process = subprocess.Popen(
        [RAY, "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={gcs}", *options]
        + ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
        + [f"--dashboard-agent-listen-port={agent}", f"--dashboard-agent-grpc-port={grpc}"]
        + [f"--metrics-export-port={metrics}", f"--temp-dir={folder}"],
        env=environment | (more_environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield environment | {"RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}"}
    finally:
        if process.poll() is None:
            below = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            for each in psutil.wait_procs([psutil.Process(process.pid), *below], timeout=3)[1]:
                each.kill()
            process.wait(60)
        end_processes_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


def end_processes_of(folder: Path) -> None:
    """Kill what has outlived the head, by process id: a session's folder stands in its processes' command lines."""
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()):
                process.kill()
        except psutil.Error:
            continue
