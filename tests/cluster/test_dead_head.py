"""A real head that answers, one that was stopped, and one whose node was: each known in time, in one line."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil
import pytest
from heads import free_ports, own_head

from raymeter.distributed.cluster_probe import require_answer
from raymeter.errors import RunError

CLIENT = """
from raymeter.cli.guard import guarded
from raymeter.config.sections import ClusterSection
from raymeter.distributed.session import connected

def command():
    with connected(ClusterSection()):
        return 0

raise SystemExit(guarded(command))
"""


@pytest.fixture(scope="module")
def head():
    """The environment of its clients, and where its processes keep their files."""
    port = free_ports(1)[0]
    with own_head(port, ["--num-cpus=1"]) as environment:
        address, end = f"127.0.0.1:{port}", time.monotonic() + 60
        while True:
            try:
                require_answer(address, "RAY_ADDRESS", seconds=5)
                break
            except RunError:
                assert time.monotonic() < end
                time.sleep(0.5)
        yield {**environment, "RAY_ADDRESS": address}, environment["RAY_AUTH_TOKEN_PATH"].removesuffix("/token")


def process_of(folder, name):
    return next(p for p in psutil.process_iter() if p.name() == name and folder in " ".join(p.cmdline()))


def started(environment):
    return subprocess.Popen([sys.executable, "-c", CLIENT], env=environment, stderr=subprocess.PIPE, text=True)


def test_a_head_that_answers_lets_in(head):
    """The greeting is that of Ray's own head; its node may need a moment longer."""
    end = time.monotonic() + 60
    while (client := started(head[0])).wait(90) and time.monotonic() < end:
        client.communicate()
    assert client.returncode == 0


STOPPED = """
import os, signal
import ray
from raymeter.config.sections import ClusterSection
from raymeter.distributed import watchman
from raymeter.distributed.session import connected

class SignalActor:
    def pid(self):
        return os.getpid()

watchman.NODE_SECONDS = 1.0
with connected(ClusterSection()):
    worker = ray.remote(num_cpus=0, max_restarts=1, max_task_retries=1)(SignalActor).remote()
    first = ray.get(worker.pid.remote())
    os.kill(first, signal.SIGSTOP)
    print(ray.get(worker.pid.remote(), timeout=60) != first)
"""


def test_a_stopped_worker_on_a_node_of_a_cluster_is_replaced(head):
    """The driver cannot see it: a small task on every busy node looks for those of its job."""
    client = subprocess.run([sys.executable, "-c", STOPPED], env=head[0], capture_output=True, text=True, timeout=120)
    assert "True" in client.stdout.splitlines(), client.stderr
    assert (
        "ray::SignalActor" in client.stderr and "was stopped; it is ended, and another takes its place" in client.stderr
    )


@pytest.mark.parametrize(
    ("stopped", "line"),
    [
        ("gcs_server", "error: no Ray cluster answers at {address} (it said nothing for 20 s); see whether it is up"),
        ("raylet", "error: this process was ended while it was let into the Ray cluster at {address}, whose node on"),
    ],
)
def test_a_stopped_head_is_known_in_time_and_a_signal_obeyed(head, stopped, line):
    """Neither refuses a connection: Ray waited for minutes, or ended the process without a word."""
    environment, folder = head
    process = process_of(folder, stopped)
    process.suspend()
    try:
        first, second = started(environment), started(environment)
        time.sleep(12)
        second.send_signal(signal.SIGTERM)
        start = time.monotonic()
        second.communicate(timeout=30)
        assert time.monotonic() - start < 10
        assert second.returncode != 0
        _, said = first.communicate(timeout=60)
    finally:
        process.resume()
    assert said.startswith(line.format(address=environment["RAY_ADDRESS"]))
    assert said.count("\n") == 1
    assert first.returncode == 1
