"""Whether the head of a Ray cluster answers at an address: found out before Ray is asked, which may wait for minutes.

What runs in a thread of its own can be waited for with a limit, and leaves the process free to obey signals.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
import time

from raymeter.config.ray_address import host_and_port
from raymeter.errors import RunError, type_and_line

ANSWER_SECONDS = 20.0
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # HTTP/2, which gRPC speaks
FRAME_BYTES, SETTINGS = 9, 4  # of the first frame of an answer: header, and its type


def require_answer(address: str, key: str, seconds: float = ANSWER_SECONDS) -> None:
    """See that something which speaks as Ray's head does answers at host:port.

    Args:
        address: host:port.
        key: Where the address comes from, for the message.
        seconds: After which a host that says nothing counts as dead.

    Raises:
        RunError: Nobody answers, nobody answers in time, or something else does.
    """
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(_ask(address, seconds)), daemon=True).start()
    try:
        problem = answers.get(timeout=seconds)
    except queue.Empty:
        problem = f"it said nothing for {seconds:g} s"
    if problem:
        raise RunError(f"no Ray cluster answers at {address} ({problem}); see whether it is up, and check {key}")


def _ask(address: str, seconds: float) -> str:
    """What is wrong with whoever is at an address; empty where nothing is."""
    deadline, received = time.monotonic() + seconds, b""
    try:
        with socket.create_connection(host_and_port(address), timeout=seconds) as connection:
            if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
                return ""  # what is said is encrypted
            connection.sendall(GREETING)
            while len(received) < FRAME_BYTES:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                part = connection.recv(FRAME_BYTES - len(received))
                if not part:
                    return "it hung up"
                received += part
    except TimeoutError:
        return f"it said nothing for {seconds:g} s"
    except (ConnectionResetError, BrokenPipeError):
        return "it hung up"
    except (OSError, ValueError) as error:  # the latter of names that no resolver takes
        return getattr(error, "strerror", None) or type_and_line(error)
    return "" if received[3] == SETTINGS else "something else answers there: the port of a dashboard, perhaps"
