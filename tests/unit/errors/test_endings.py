"""Signals of the system and sys.exit in the user's code, as exceptions."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from raymeter.errors import ConfigError, Ended, RunError, exit_refused
from raymeter.errors.endings import end_main_thread, ended_by_signals


@pytest.mark.parametrize(("code", "said"), [((0,), "0"), ((), ""), (("bye",), "'bye'")])
def test_sys_exit_in_the_users_code_is_an_error_that_names_it(code, said):
    """An audit ended with exit code 0, and nothing had been audited."""
    with pytest.raises(ConfigError) as error:
        with exit_refused(ConfigError, "train.fit: mine:fit"):
            sys.exit(*code)
    assert str(error.value) == f"train.fit: mine:fit called sys.exit({said}); have it raise an error"


def test_a_signal_in_the_users_code_is_not_its_sys_exit():
    """SIGTERM while a function of the user's runs ends the command as anywhere else."""
    with pytest.raises(Ended) as end:
        with ended_by_signals(), exit_refused(ConfigError, "train.fit: mine:fit"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
    assert (end.value.code, end.value.name) == (143, "SIGTERM")


def test_handlers_are_put_back():
    """Whatever was there before, in threads too, where nothing may be set."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with ended_by_signals():
        thread = threading.Thread(target=lambda: ended_by_signals().__enter__())
        thread.start()
        thread.join()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_another_thread_can_end_the_main_one():
    """With an error of its own, and only where that is caught."""
    assert not end_main_thread(RunError("gone"))
    with ended_by_signals(), pytest.raises(RunError, match="gone"):
        thread = threading.Thread(target=end_main_thread, args=(RunError("gone"),))
        thread.start()
        time.sleep(5)
    thread.join()
