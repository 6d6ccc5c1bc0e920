"""How a stage reports its progress and its decisions, to a terminal or to nobody."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Reporter(Protocol):
    """What long-running stages report of themselves."""

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
