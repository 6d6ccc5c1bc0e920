"""A line that another process prints when this one is gone, and only then."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raymeter.distributed import last_word

CLIENT = """
import os, signal
from raymeter.distributed.last_word import last_word

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
