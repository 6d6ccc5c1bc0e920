"""A line for an end that Python does not see: Ray's C++ code ends the process where its node does not answer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SHELL = "/bin/sh"
SCRIPT = 'read -r done || printf "%s\\n" "$1" >&2'  # nothing to read is what the death of the other end looks like


@contextmanager
def last_word(line: str) -> Iterator[None]:
    """Have a line printed where this process ends before what is within has come to an end, whichever it is.

    A shell waits at a pipe, in a session of its own so that no signal of the terminal ends it first.
    """
    try:
        shell = subprocess.Popen(
            [SHELL, "-c", SCRIPT, SHELL, line], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
    except OSError:  # no shell, or no room for one: there is no line then, and no less of anything else
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError, subprocess.TimeoutExpired):
            shell.communicate(b"done\n", timeout=5)
