"""Ray that does not start or answer: one line each, with the way out; nothing half-started stays.

What Ray raises is injected where it is called; addresses are real ones on loopback.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from heads import free_ports

from raymeter.config.sections import ClusterSection
from raymeter.distributed import ray_start, session
from raymeter.distributed.ray_internals import on_demand
from raymeter.errors import ConfigError, RunError

BUSY = Exception(
    "The current node timed out during startup. This could happen because some of the raylet failed to startup or the "
    "GCS has become overloaded."
)


@pytest.fixture
def starts(monkeypatch):
    """What the next calls of ray.init raise, None for a start that works; the options of each call."""
    for name in ("RAY_ADDRESS", "RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    faults, calls = [], []

    def init(**options):
        calls.append(options)
        fault = faults.pop(0) if faults else None
        if fault is not None:
            raise fault

    monkeypatch.setattr(ray_start.ray, "init", init)
    monkeypatch.setattr(on_demand.ray, "shutdown", lambda: None)
    return faults, calls


def start():
    with session.connected(ClusterSection(num_cpus=1)):
        return "started"


@pytest.mark.parametrize(
    "busy",
    [
        BUSY,
        RuntimeError("Failed to start GCS.\nLast 0 lines of error files:"),
        TimeoutError("port"),
        BlockingIOError(11, "Resource temporarily unavailable"),
    ],
)
def test_a_busy_start_is_tried_once_more(starts, caplog, busy):
    """The likeliest first failure of all ended in a traceback."""
    faults, calls = starts
    faults.append(busy)
    with caplog.at_level(logging.WARNING, "raymeter"):
        assert start() == "started"
    assert [call["address"] for call in calls] == ["local", "local"]
    assert "Ray did not start in time (" in caplog.text
    assert caplog.text.endswith("; trying once more\n") or caplog.text.count("\n") == 1


def test_a_start_that_fails_twice_is_one_line(starts):
    """What Ray said, and what can be done."""
    faults, calls = starts
    faults.extend([BUSY, BUSY, None])
    with pytest.raises(RunError) as error:
        start()
    assert len(calls) == 2
    assert str(error.value).startswith("Ray did not start, 2 times in a row (Exception: The current node timed out")
    assert str(error.value).endswith(
        "wait until the machine is less busy, free some memory, or see more with --verbose"
    )
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (
            OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /a/b"),
            ConfigError,
            "Ray cannot start: the paths of its sockets would be longer than 107 bytes, since TMPDIR is /a; set RAY_TMPDIR=/tmp",
        ),
        (
            PermissionError(13, "Permission denied", "/a/ray"),
            ConfigError,
            "Ray cannot start: its directory cannot be used (/a/ray: Permission denied), and TMPDIR is /a; set RAY_TMPDIR to",
        ),
        (
            OSError(28, "No space left on device", "/a/ray"),
            ConfigError,
            "Ray cannot start: its directory cannot be used (/a/ray: No space left on device), and TMPDIR is /a",
        ),
        (
            ValueError("The object store needs 75 MB\nand more"),
            RunError,
            "Ray cannot start (ValueError: The object store needs 75 MB); see what `raymeter doctor` says",
        ),
    ],
)
def test_what_a_second_start_would_not_mend_is_said_at_once(starts, monkeypatch, fault, kind, message):
    """The variable that says where Ray's directory is, and the way out."""
    faults, calls = starts
    monkeypatch.setenv("TMPDIR", "/a")
    faults.append(fault)
    with pytest.raises(kind) as error:
        start()
    assert str(error.value).startswith(message)
    assert len(calls) == 1


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_directory_is_refused_by_ray_itself(tmp_path, monkeypatch, variable):
    """Not injected: Ray looks at the length before it starts anything."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    place = tmp_path / ("long" * 25)
    place.mkdir()
    monkeypatch.setenv(variable, str(place))
    with pytest.raises(ConfigError, match=rf"since {variable} is {str(place)[:40]}.*; set RAY_TMPDIR=/tmp"):
        start()


def test_an_interrupt_ends_what_was_started(starts, monkeypatch):
    """A session that goes on after Ctrl-C has no half-started Ray in it."""
    faults, _ = starts
    ended = []
    monkeypatch.setattr(ray_start, "end_unfinished_start", ended.append)
    faults.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        start()
    assert len(ended) == 1


def test_processes_of_an_unfinished_start_are_ended(monkeypatch):
    """The node is found on the way that the exception took, and its processes are killed."""
    from ray._private.node import Node

    killed = []
    monkeypatch.setattr(Node, "kill_all_processes", lambda self, **how: killed.append((self, how)))
    monkeypatch.setattr(on_demand.ray, "shutdown", lambda: None)
    node = Node.__new__(Node)

    def constructor(self):
        raise BUSY

    with pytest.raises(Exception, match="timed out") as error:
        constructor(node)
    on_demand.end_unfinished_start(error.value)
    assert killed == [(node, {"check_alive": False, "allow_graceful": False})]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:8265", "RAY_ADDRESS: must be host:port of .*, got http://..., where jobs are submitted"),
        ("127.0.0.1", "RAY_ADDRESS: must be host:port of .*, got '127.0.0.1', which has no port"),
    ],
)
def test_addresses_in_the_environment_are_checked_too(starts, monkeypatch, address, message):
    """Both ended in a traceback of Ray's."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match=message):
        start()
    assert starts[1] == []


@pytest.mark.parametrize(("variable", "given"), [("", None), ("local", None), ("10.0.0.1:6379", "local")])
def test_no_address_and_local_mean_an_embedded_ray(starts, monkeypatch, variable, given):
    """An empty variable connected to nothing; `local` started a Ray that other machines could reach."""
    monkeypatch.setenv("RAY_ADDRESS", variable)
    config = ClusterSection(address=given, num_cpus=1)
    assert session.is_embedded(config)
    with session.connected(config):
        pass
    assert starts[1][0]["num_cpus"] == 1


def test_auto_without_a_cluster_is_one_line(starts, monkeypatch):
    """Nothing runs on this machine."""
    monkeypatch.setattr(ray_start, "found_cluster", lambda: None)
    with pytest.raises(RunError, match="cluster.address is auto, and no Ray cluster runs on this machine; start one"):
        with session.connected(ClusterSection(address="auto")):
            pass


def test_auto_means_the_cluster_that_ray_finds(starts, monkeypatch):
    """A cluster that has died in the meantime is said to be dead, at its address."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setattr(ray_start, "found_cluster", lambda: address)
    with pytest.raises(RunError, match=rf"no Ray cluster answers at {address} \(Connection refused\)"):
        with session.connected(ClusterSection(address="auto")):
            pass


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ConnectionError("Failed to connect to Ray cluster at 10.0.0.1:6379"), "ConnectionError: Failed to connect"),
        (
            RuntimeError("Version mismatch:\n    Ray: 2.60\n    Python: 3.9"),
            "RuntimeError: Version mismatch: Ray: 2.60",
        ),
    ],
)
def test_a_cluster_that_keeps_this_process_out_is_one_line(starts, monkeypatch, fault, said):
    """No node on this machine, another version, another token: what Ray says, in one line."""
    monkeypatch.setattr(ray_start, "require_answer", lambda *_: None)
    monkeypatch.setattr(ray_start.ray, "shutdown", lambda: None)
    starts[0].append(fault)
    with pytest.raises(RunError) as error:
        with session.connected(ClusterSection(address="10.0.0.1:6379")):
            pass
    assert str(error.value).startswith(f"the Ray cluster at 10.0.0.1:6379 does not let this process in ({said}")
    assert "\n" not in str(error.value)


def test_a_cluster_that_takes_long_is_spoken_of(starts, monkeypatch, caplog):
    """Ray waits for a node on this machine for a minute, without a word."""
    monkeypatch.setattr(ray_start, "require_answer", lambda *_: None)
    monkeypatch.setattr(ray_start, "SAY_AFTER", 0.0)
    monkeypatch.setattr(ray_start.ray, "init", lambda **_: time.sleep(0.2))
    ray_start.connect("10.0.0.1:6379", "RAY_ADDRESS", {}, True)
    assert "the Ray cluster at 10.0.0.1:6379 answers, but has no node on this machine yet" in caplog.text


CLIENT = """
from raymeter.cli.guard import guarded
from raymeter.config.sections import ClusterSection
from raymeter.distributed.session import connected

def command():
    with connected(ClusterSection()):
        return 0

raise SystemExit(guarded(command))
"""


def test_sigterm_is_obeyed_while_a_dead_cluster_is_waited_for():
    """A head that was stopped accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            env={**os.environ, "RAY_ADDRESS": address},
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = server.accept()
        with connection:
            time.sleep(0.5)
            client.send_signal(signal.SIGTERM)
            start = time.monotonic()
            _, said = client.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert client.returncode == 143
    assert said.splitlines()[-1].startswith("ended by SIGTERM; ")


ENDED = """
import os
from raymeter.config.sections import ClusterSection
from raymeter.distributed import ray_start
from raymeter.distributed.session import connected

ray_start.require_answer = lambda *_: None
ray_start.ray.init = lambda **_: os._exit(1)
with connected(ClusterSection()):
    pass
"""


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("", "error: this process was ended while Ray was starting; wait until the machine is less busy"),
        (
            "10.0.0.1:6379",
            "error: this process was ended while it was let into the Ray cluster at 10.0.0.1:6379, whose",
        ),
    ],
)
def test_an_end_inside_of_ray_has_a_line(address, line):
    """Where a node does not answer, Ray's C++ code ends the process, without a word and without an exception."""
    client = subprocess.run(
        [sys.executable, "-c", ENDED],
        env={**os.environ, "RAY_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert client.returncode == 1
    assert client.stderr.startswith(line)
    assert client.stderr.count("\n") == 1
