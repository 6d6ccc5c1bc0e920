"""How commands end: one line and a documented code, whatever ends them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from raymeter.cli.guard import guarded
from raymeter.errors import ConfigError, Ended, RunError

AGAIN = "finished models are kept, start the same command again to continue\n"


@pytest.mark.parametrize(
    ("end", "code", "line"),
    [
        (ConfigError("train.epochs: no"), 2, "error: train.epochs: no\n"),
        (RunError("lost"), 1, "error: lost\n"),
        (KeyboardInterrupt(), 130, f"interrupted; {AGAIN}"),
        (Ended(signal.SIGTERM), 143, f"ended by SIGTERM; {AGAIN}"),
        (Ended(signal.SIGHUP), 129, f"ended by SIGHUP; {AGAIN}"),
        (SystemExit(0), 1, "error: code that is not raymeter's called sys.exit(0); have it raise an error\n"),
        (SystemExit(143), 1, "error: code that is not raymeter's called sys.exit(143); have it raise an error\n"),
        (MemoryError("9 GiB"), 1, "error: out of memory (MemoryError: 9 GiB); free some, or audit fewer records or"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "error: the output cannot be written (No space left on"),
    ],
)
def test_an_end_is_one_line_and_a_code(capfd, end, code, line):
    """Nothing that ends a command passes for a command that is done."""

    def command():
        raise end

    assert guarded(command) == code
    said = capfd.readouterr().err
    assert said.startswith(line) and said.count("\n") == 1


def test_what_was_not_expected_has_its_traceback_and_a_last_line(capfd):
    """A mistake of raymeter's own can be reported, and is no success."""

    def command():
        raise ValueError("odd")

    assert guarded(command) == 1
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "error: ValueError: odd: not expected, please report it with the lines above"


def test_a_signal_counts_where_its_handling_fails(capfd):
    """A terminal that was closed takes no last words of a progress bar: the command was ended by SIGHUP all the same."""

    def command():
        try:
            raise Ended(signal.SIGHUP)
        finally:
            raise OSError(errno.EIO, "Input/output error")

    assert guarded(command) == 129
    assert capfd.readouterr().err == f"ended by SIGHUP; {AGAIN}"


CLIENT = """
import os, signal, sys, time
from raymeter.cli.guard import guarded

def command():
    print("x" * 100_000, flush=True)
    {body}
    return 0

sys.exit(guarded(command))
"""


def client(body: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT.format(body=body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (signal.SIGTERM, 143, "ended by SIGTERM; "),
        (signal.SIGHUP, 129, "ended by SIGHUP; "),
        (signal.SIGINT, 130, "interrupted; "),
        (signal.SIGKILL, -signal.SIGKILL, "error: this process was ended from outside (SIGKILL, out of memory) or by"),
    ],
)
def test_real_signals_have_their_line(number, code, line):
    """Of a process: SIGHUP ended it without a word, and so did SIGKILL."""
    process = client("time.sleep(60)")
    process.stdout.read(100_000)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said.count("\n")) == (code, 1)
    assert said.startswith(line)


def test_nohup_is_respected():
    """Where SIGHUP is ignored, a closed terminal ends nothing."""
    body = "os.kill(os.getpid(), signal.SIGHUP)"
    process = client(body, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


def test_output_that_nobody_reads_is_one_line():
    """`| head -1`: a traceback, and another one when Python ended."""
    process = client("time.sleep(0.5); print('y')", pipesize=4096 if sys.version_info >= (3, 10) else -1)
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(30) == 141
    assert said == f"ended: nobody reads the output any more; {AGAIN}"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_output_without_room_is_one_line():
    """What is buffered is written when the command ends."""
    code = "import sys\nfrom raymeter.cli.guard import guarded\nsys.exit(guarded(lambda: print('x') or 0))"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr == "error: the output cannot be written (No space left on device); free some space\n"
