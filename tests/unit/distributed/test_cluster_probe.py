"""Addresses on loopback that nobody, something else, or a silent process answers."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import pytest
from heads import free_ports

from raymeter.distributed.cluster_probe import require_answer
from raymeter.errors import RunError


@contextmanager
def serving(answer):
    """Accepts one connection and says so many bytes, or nothing: None hangs up, b"" keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = threading.Event()

        def serve():
            connection, _ = server.accept()
            with connection:
                if answer is not None:
                    connection.sendall(answer)
                    done.wait(10)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        done.set()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "it said nothing for 0.3 s"),
        (b"\x00\x00\x06", "it said nothing for 0.3 s"),
        (None, "it hung up"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "something else answers there: the port of a dashboard, perhaps"),
        (b"-ERR unknown command\r\n", "something else answers there"),
    ],
)
def test_what_is_no_head_is_one_line(answer, problem):
    """A process that was stopped accepts connections and says nothing; a dashboard speaks otherwise."""
    start = time.monotonic()
    with serving(answer) as address, pytest.raises(RunError) as error:
        require_answer(address, "RAY_ADDRESS", seconds=0.3)
    assert str(error.value).startswith(f"no Ray cluster answers at {address} ({problem}")
    assert str(error.value).endswith("; see whether it is up, and check RAY_ADDRESS")
    assert time.monotonic() - start < 5


def test_a_head_answers_with_its_settings():
    """The first frame of HTTP/2, in which gRPC says how it may be spoken to."""
    with serving(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00" + b"more") as address:
        require_answer(address, "RAY_ADDRESS", seconds=5)


def test_a_port_that_nobody_listens_at_is_refused_at_once():
    """The head is gone."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(RunError, match=rf"no Ray cluster answers at {address} \(Connection refused\)"):
        require_answer(address, "cluster.address")


@pytest.mark.parametrize("host", ["head.invalid", "h" * 70 + ".invalid", "he\0ad", "[::1"])
def test_a_name_that_nobody_has_is_said(host):
    """What the resolver says, in the same line, and at once."""
    start = time.monotonic()
    with pytest.raises(RunError) as error:
        require_answer(f"{host}:6379", "cluster.address")
    shown = host.replace("\0", "?")  # no control character reaches a terminal
    assert str(error.value).startswith(f"no Ray cluster answers at {shown}:6379 (")
    assert "said nothing" not in str(error.value)
    assert time.monotonic() - start < 15


def test_an_encrypted_cluster_need_only_listen(monkeypatch):
    """What is said there cannot be read without its certificate."""
    monkeypatch.setenv("RAY_USE_TLS", "1")
    with serving(b"") as address:
        require_answer(address, "RAY_ADDRESS", seconds=5)
