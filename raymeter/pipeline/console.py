"""What is seen in the terminal: stages by name, a progress bar, one line per decision."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from raymeter.errors.text import one_line

JSON_PROGRESS_SECONDS = 5.0


class _Terminal(Console):
    """A console that leaves it to the command what happens when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        """Rich's own would end the process with code 1, without a word."""
        self.quiet = True
        raise BrokenPipeError


@dataclass
class StageConsole:
    """Prints stages with rich: bars on a terminal, plain lines elsewhere."""

    console: Console = field(default_factory=lambda: _Terminal(highlight=False, soft_wrap=True))
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
        self.console.print(f"  {one_line(line)}", markup=False)

    def result(self, table: Table, lines: Sequence[str], report: str = "") -> None:
        """Show what an audit found.

        Args:
            table: Its figures.
            lines: What must be known of them.
            report: Name of the report's directory.
        """
        self.console.print()
        self.console.print(table)
        for line in lines:
            self.console.print(one_line(line), markup=False)
        if report:
            page = one_line(f"{report}/index.html")
            link = f"link {Path(page).as_uri()}" if Path(page).is_absolute() else ""
            self.console.print(Text("Report: ").append(page, style=link))


@dataclass
class QuietConsole(StageConsole):
    """Says what an audit found, and nothing before."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.timings[name] = time.perf_counter() - start

    def note(self, line: str) -> None:
        pass


@dataclass
class JsonConsole(StageConsole):
    """Says the same in one JSON object a line, with the time in UTC, for whatever collects the logs of a cluster."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    _stage: str = ""
    _last_progress: float = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start, self._stage = time.perf_counter(), name
        self._say("stage begins")
        yield
        self.timings[name] = time.perf_counter() - start
        self._say("stage ends", seconds=round(self.timings[name], 3))
        self._stage = ""

    def progress(self, done: float, total: float, what: str) -> None:
        if time.monotonic() - self._last_progress >= JSON_PROGRESS_SECONDS:
            self._last_progress = time.monotonic()
            self._say("progress", done=round(done, 2), total=total, what=what)

    def note(self, line: str) -> None:
        self._say("note", text=line)

    def result(self, table: Table, lines: Sequence[str], report: str = "") -> None:
        for line in (*lines, *([f"Report: {report}/index.html"] if report else [])):
            self._say("result", text=line)

    def error(self, line: str) -> None:
        """Say why the command ends."""
        self._say("error", text=line)

    def _say(self, event: str, **values: Any) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        stage = {"stage": self._stage} if self._stage else {}
        plain = {name: one_line(value) if isinstance(value, str) else value for name, value in values.items()}
        print(json.dumps({"time": now, "event": event, **stage, **plain}), file=self.stream, flush=True)
