"""A line for an end that Python does not see: SIGKILL, lack of memory, C++ code that ends the process by itself."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from raymeter.errors.text import one_line

SHELL = "/bin/sh"
LAST_WORD = (
    "error: this process was ended from outside (SIGKILL, out of memory) or by native code (Ray's, torch's); what is "
    "finished is kept: start the same command again to continue"
)
# keeps the line that it was given last; nothing more to read is what the death of the other end looks like
SCRIPT = """
while IFS= read -r line; do
  case $line in "end "*) left=${line#end } ;; *) word=$line ;; esac
done
[ -z "$word" ] || { printf "%s\\n" "$word" >&2; [ -z "$left" ] || kill -9 $left 2>/dev/null; }
"""
_lock = threading.Lock()
_words: list[list[str]] = []  # each in a list of its own: two may read the same
_left: set[int] = set()
_shells: list[subprocess.Popen[bytes]] = []


@contextmanager
def last_word(line: str) -> Iterator[None]:
    """Have a line printed where this process ends before what is within has come to an end, whichever it is.

    A shell waits at a pipe, in a session of its own so that no signal of the terminal ends it first. There is one for
    the whole process, and where several lines were given the latest is printed.
    """
    word = [one_line(line)]
    with _lock:
        _words.append(word)
        _tell()
    try:
        yield
    finally:
        with _lock:
            _words[:] = [other for other in _words if other is not word]
            _tell()


def ended_after_this_process(pids: Collection[int]) -> None:
    """Have processes killed where this one ends so: those that would stay for long."""
    with _lock, suppress(OSError):
        if _shells and set(pids) != _left:
            _left.clear()
            _left.update(pids)
            _write(f"end {' '.join(map(str, pids))}\n")


def _tell() -> None:
    """Give the shell the line that counts at present; without any it comes to its end."""
    with suppress(OSError, subprocess.TimeoutExpired):  # no shell, or no room for one: then there is no line
        if _words and not _shells:
            _shells.append(
                subprocess.Popen(
                    [SHELL, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
                )
            )
        if _words:
            _write(f"{_words[-1][0]}\n")
        elif _shells:
            shell = _shells.pop()
            _left.clear()
            shell.communicate(b"\n", timeout=5)


def _write(text: str) -> None:
    pipe = _shells[-1].stdin
    assert pipe is not None
    pipe.write(text.encode())
    pipe.flush()
