"""What a file of a verb holds: a parser that is quick to build, and a `run` that imports its work when it is asked."""

from __future__ import annotations

import argparse
from typing import Protocol, TypeAlias, runtime_checkable

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


@runtime_checkable
class Verb(Protocol):
    """A module of this package. At its top it imports nothing but this package and the standard library."""

    def add_parser(self, verbs: Verbs) -> argparse.ArgumentParser:
        """Add the verb's command line to `raymeter`."""

    def run(self, options: argparse.Namespace) -> int:
        """Do what was asked; returns the exit code. No `Namespace` goes further than this."""
