"""Ends that are no errors of raymeter's: signals of the system, and `sys.exit` in the user's own code."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from raymeter.errors.exceptions import RaymeterError

ENDING = ("SIGTERM", "SIGHUP")  # a terminal that is closed sends the latter
_why: list[BaseException] = []


class Ended(SystemExit):
    """A signal of the system has ended the command; the code is 128 and the number of the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Have signals that end a process raise `Ended` meanwhile, so that all is put away; one that is ignored stays so.

    Only the main thread can do that: in others nothing changes.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [int(getattr(signal, name)) for name in ENDING if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}
        before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}  # nohup
    for number in before:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _end(number: int, frame: FrameType | None) -> None:
    raise _why.pop() if _why else Ended(number)


def end_main_thread(error: BaseException) -> bool:
    """Raise an error in the main thread, whatever it waits for; False where no signal would do so at present."""
    if signal.getsignal(signal.SIGTERM) is not _end:
        return False
    _why.append(error)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    return True


def in_chain(error: BaseException | None, *kinds: type[BaseException]) -> BaseException | None:
    """The first exception of some kinds among an error, what caused it, and that in whose handling it was raised."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        if isinstance(one, kinds):
            return one
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__]
    return None


def leave_at_once(code: int) -> None:
    """End the process where its main thread cannot be reached: only `last_word` is said."""
    os._exit(code)


@contextmanager
def exit_refused(error: type[RaymeterError], whose: str) -> Iterator[None]:
    """Turn `sys.exit` in the user's code into an error: a command that ends so would look as if it were done.

    Args:
        error: What to raise.
        whose: Code, as the message begins.
    """
    try:
        yield
    except Ended:
        raise
    except SystemExit as stop:
        code = "" if stop.code is None else repr(stop.code)
        raise error(f"{whose} called sys.exit({code}); have it raise an error") from None
