"""A line that another process prints when this one is gone, and only then."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from raymeter.errors import last_word

CLIENT = """
import os, signal
from raymeter.errors.last_word import last_word

with last_word("gone: 100 % of $HOME"):
    {end}
"""


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os._exit(1)", "gone: 100 % of $HOME\n"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "gone: 100 % of $HOME\n"),
        ("os.abort()", "gone: 100 % of $HOME\n"),
        ("pass", ""),
        ("raise SystemExit(3)", ""),
    ],
)
def test_the_line_is_printed_where_nothing_else_can_be(end, said):
    """As it is, whatever the end; not where Python itself comes to one."""
    client = subprocess.run([sys.executable, "-c", CLIENT.format(end=end)], capture_output=True, text=True, timeout=60)
    assert client.stderr == said


def test_without_a_shell_the_work_is_done_all_the_same(monkeypatch):
    """The line is lost, nothing else."""
    monkeypatch.setattr(last_word, "SHELL", "/nonexistent/sh")
    with last_word.last_word("gone"):
        done = True
    assert done


LEAVING = """
import os, subprocess, sys
from raymeter.errors.last_word import ended_after_this_process, last_word

sleeper = subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
print(sleeper.pid, flush=True)
with last_word("gone"):
    ended_after_this_process([sleeper.pid])
    {end}
"""


@pytest.mark.parametrize(("end", "stays"), [("os._exit(1)", False), ("pass", True)])
def test_what_would_stay_is_ended_with_the_process(end, stays):
    """Agents of Ray stay for a minute after a driver that was killed; not where the work has come to its own end."""
    done = subprocess.run([sys.executable, "-c", LEAVING.format(end=end)], capture_output=True, text=True, timeout=60)
    sleeper, latest = psutil.Process(int(done.stdout)), time.monotonic() + (0.5 if stays else 10)
    while sleeper.is_running() and sleeper.status() != "zombie" and time.monotonic() < latest:
        time.sleep(0.02)
    assert (sleeper.is_running() and sleeper.status() != "zombie") is stays
    if stays:
        sleeper.kill()


def test_the_latest_line_counts():
    """Of several that hold at the same time."""
    code = "import os\nfrom raymeter.errors.last_word import last_word\n"
    code += (
        "with last_word('one'):\n    with last_word('two'):\n        with last_word('three'): pass\n        os._exit(1)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr == "two\n"
