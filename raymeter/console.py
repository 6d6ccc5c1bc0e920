"""What the person at the terminal sees: stages by name, a progress bar, one line per decision."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from raymeter.errors import RaymeterError, RunError


class Reporter(Protocol):
    """What long-running stages tell about themselves."""

    def progress(self, done: float, total: float, what: str) -> None:
        """Move the bar of the running stage; `done` and `total` in units of `what`."""

    def note(self, line: str) -> None:
        """Say one line: a decision and its reason."""


class Silent:
    """A Reporter that keeps the lines and shows nothing; for library use and tests."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, done: float, total: float, what: str) -> None:
        pass

    def note(self, line: str) -> None:
        self.lines.append(line)


@dataclass
class StageConsole:
    """Prints stages with rich: bars on a terminal, plain lines elsewhere."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    timings: dict[str, float] = field(default_factory=dict)
    _bar: Progress | None = None
    _task: TaskID | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show a stage while it runs, and its seconds when it is done."""
        start = time.perf_counter()
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeElapsedColumn()
        self._bar = Progress(*columns, console=self.console, transient=True)
        self._task = self._bar.add_task(name, total=None, count="")
        if not self.console.is_terminal:
            self.console.print(f"{name} ...")
        try:
            with self._bar if self.console.is_terminal else nullcontext():
                yield
        finally:
            self._bar = None
        self.timings[name] = time.perf_counter() - start
        self.console.print(f"[bold]{name}[/bold] [dim]{self.timings[name]:.1f} s[/dim]")

    def progress(self, done: float, total: float, what: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, count=f"{int(done)} of {int(total)} {what}")

    def note(self, line: str) -> None:
        self.console.print(f"  {line}", markup=False)


def guarded(command: Callable[[], int]) -> int:
    """Run a command: 0 done, 2 configuration or input error, 1 anything else; deliberate errors take one line."""
    try:
        return command()
    except RaymeterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, RunError) else 2
    except KeyboardInterrupt:
        print("interrupted; finished models are kept, start the same command again to go on", file=sys.stderr)
        return 130
    except SystemExit as stop:
        if stop.code == 143:
            print("ended by SIGTERM; finished models are kept, start the same command again to go on", file=sys.stderr)
        raise
