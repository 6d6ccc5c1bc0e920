"""Stopped processes are found by their state; of Ray's work they are ended, of its services they go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from raymeter.distributed import stopped_processes, watchman
from raymeter.distributed.stopped_processes import below, stopped_among, wake_or_end
from raymeter.distributed.watchman import Watchman


def stopped_below(parents, others=()):
    """Names of stopped processes."""
    return stopped_among(below(parents, others))


@pytest.fixture(params=["ray::SignalActor", "ray::DashboardAgent", "gcs_server"])
def stopped(request):
    """A process of this name that was stopped."""
    process = subprocess.Popen(
        [request.param, "-c", "import time; time.sleep(60)"], executable=sys.executable, stdout=subprocess.DEVNULL
    )
    process.send_signal(signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while process.pid not in stopped_below([os.getpid()]) and time.monotonic() < deadline:
        time.sleep(0.01)
    yield process, request.param
    process.kill()
    process.wait()


@pytest.mark.parametrize("place", ["/proc", "/nonexistent"])
def test_a_stopped_process_is_found_and_named(stopped, place, monkeypatch):
    """As a child or by its number, by /proc or by ps; one that runs is not."""
    process, name = stopped
    monkeypatch.setattr(stopped_processes, "PROC", stopped_processes.Path(place))
    assert stopped_below([os.getpid()]) == {process.pid: name}
    assert stopped_below([], [process.pid]) == {process.pid: name}
    assert stopped_below([], [os.getpid()]) == {}


def test_work_is_ended_and_services_go_on(stopped):
    """Another worker takes the place of one that was stopped; a raylet would end with its agents."""
    process, name = stopped
    said = wake_or_end(process.pid, name)
    if name == "ray::SignalActor":
        assert process.wait(10) == -signal.SIGKILL and "another takes its place" in said
    else:
        deadline = time.monotonic() + 10
        while stopped_below([os.getpid()]) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None and stopped_below([os.getpid()]) == {} and said == "it is told to go on"


def test_only_what_is_stopped_for_long_is_touched(stopped, monkeypatch, caplog):
    """Somebody may be about to let it go on; and where this process was stopped as well, nothing is known."""
    process, name = stopped
    now = [100.0]
    monkeypatch.setattr(watchman.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(watchman, "own_processes", lambda: {os.getpid(): ("raylet", True)})
    look = Watchman()
    look.looked = now[0]
    for _ in range(3):
        look.look()
        now[0] += watchman.LOOK_SECONDS
    now[0] += 100
    look.look()
    assert caplog.text == "" and process.pid in stopped_below([os.getpid()])
    while not caplog.text and now[0] < 300:
        now[0] += watchman.LOOK_SECONDS
        look.look()
    assert f"{name} (process {process.pid}) was stopped for 15 s; it is" in caplog.text
