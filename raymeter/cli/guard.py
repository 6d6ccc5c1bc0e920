"""How every command ends: one line for an error, and the exit code that goes with it."""

from __future__ import annotations

import sys
from collections.abc import Callable

from raymeter.errors import RaymeterError, RunError
from raymeter.errors.text import one_line, some_lines


def say_error(line: str) -> None:
    """Print why a command ends."""
    print(one_line(line), file=sys.stderr)


def tell(text: object) -> None:
    """Print what a command has to say, in one line or several."""
    print(some_lines(text), flush=True)


def guarded(command: Callable[[], int], kept: str = "finished models", say: Callable[[str], None] = say_error) -> int:
    """Run a command: 0 done, 2 configuration or input error, 1 anything else; deliberate errors take one line.

    Args:
        command: What to run.
        kept: What an interrupted command has saved.
        say: Prints why it ends early.
    """
    try:
        return command()
    except RaymeterError as error:
        say(f"error: {error}")
        return 1 if isinstance(error, RunError) else 2
    except KeyboardInterrupt:
        say(f"interrupted; {kept} are kept, start the same command again to continue")
        return 130
    except SystemExit as stop:
        if stop.code == 143:
            say(f"ended by SIGTERM; {kept} are kept, start the same command again to continue")
        raise
