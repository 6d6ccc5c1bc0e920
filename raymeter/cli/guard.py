"""How every command ends: one line for an error, and the exit code that goes with it.

    0    done
    1    work failed (RunError), or what was not expected
    2    configuration or input error
    3    a gate of --fail-if
    129  ended by SIGHUP, 143 by SIGTERM; 130 interrupted, 141 nobody reads the output any more

What ends without Python (SIGKILL, lack of memory, C++ code) has its line from `last_word`.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from raymeter.errors import Ended, RaymeterError, RunError, type_and_line
from raymeter.errors.endings import ended_by_signals, in_chain
from raymeter.errors.last_word import LAST_WORD, last_word
from raymeter.errors.text import one_line, some_lines

INTERRUPTED, UNREAD = 130, 141  # as SIGINT and SIGPIPE have it
OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


def say_error(line: str) -> None:
    """Print why a command ends."""
    print(one_line(line), file=sys.stderr, flush=True)


def tell(text: object) -> None:
    """Print what a command has to say, in one line or several."""
    print(some_lines(text), flush=True)


def guarded(command: Callable[[], int], kept: str = "finished models", say: Callable[[str], None] = say_error) -> int:
    """Run a command; returns its exit code, also where it was ended. Deliberate errors take one line.

    Args:
        command: What to run.
        kept: What an interrupted command has saved.
        say: Prints why it ends early.
    """
    with last_word(LAST_WORD), ended_by_signals():
        try:
            code = command()
            sys.stdout.flush()
            return code
        except BaseException as error:
            line, code = _end(error, kept)
            if code == UNREAD:
                _give_up_output()
                say = say_error
            with suppress(OSError, ValueError):  # nobody is there to read it: a terminal that was closed
                say(line)
            return code


def _end(error: BaseException, kept: str) -> tuple[str, int]:
    """What to say of an end, and its code."""
    again = f"{kept} are kept, start the same command again to continue"
    # a signal counts where its handling fails: a closed terminal takes no last words of a progress bar
    told = None if isinstance(error, RaymeterError) else in_chain(error, Ended, KeyboardInterrupt)
    match told or error:
        case Ended() as end:
            return f"ended by {end.name}; {again}", int(str(end.code))
        case KeyboardInterrupt():
            return f"interrupted; {again}", INTERRUPTED
        case RunError():
            return f"error: {error}", 1
        case RaymeterError():
            return f"error: {error}", 2
        case SystemExit() as stop:
            return f"error: code that is not raymeter's called sys.exit({stop.code!r}); have it raise an error", 1
        case BrokenPipeError():
            return f"ended: nobody reads the output any more; {again}", UNREAD
        case MemoryError():
            return f"error: out of memory ({type_and_line(error)}); free some, or audit fewer records or views", 1
        case OSError() as problem if problem.errno in OUTPUT_ERRORS and problem.filename is None:
            _give_up_output()
            return f"error: the output cannot be written ({problem.strerror}); free some space", 1
    with suppress(OSError, ValueError):
        traceback.print_exception(error)
    return f"error: {type_and_line(error)}: not expected, please report it with the lines above", 1


def _give_up_output() -> None:
    """Have what is still to be written go nowhere, or Python would complain of it at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
