"""The `raymeter` command: one sub-parser a verb, one file a verb."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from raymeter import __version__
from raymeter.cli import (
    audit,
    compare,
    demo,
    doctor,
    explain_difference,
    export_signals,
    import_signals,
    init,
    report,
    score,
    sweep,
)
from raymeter.cli.guard import guarded
from raymeter.cli.verb import Verb
from raymeter.errors.text import one_line

VERBS: tuple[Verb, ...] = (
    demo,
    init,
    audit,
    sweep,
    score,
    import_signals,
    export_signals,
    explain_difference,
    report,
    compare,
    doctor,
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command without repeating keys."""

    def error(self, message: str) -> NoReturn:
        """End the command with the usage and one line."""
        super().error(one_line(message))


def build_parser(typed: str = "") -> argparse.ArgumentParser:
    """The whole command line; what the verbs do is not loaded.

    Args:
        typed: What was typed in place of `raymeter VERB`; the usage of that verb names it.
    """
    parser: argparse.ArgumentParser = _Parser(
        prog="raymeter", description="Audit how much a model leaks about its records."
    )
    parser.add_argument("--version", action="version", version=f"raymeter {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True, help="see raymeter VERB --help")
    for verb in VERBS:
        mine = verb.add_parser(verbs)
        mine.set_defaults(run=verb.run, parser=mine)
        if typed and typed.endswith(f".{mine.prog.rpartition(' ')[2]}"):
            mine.prog = typed
    return parser


def parse(argv: Sequence[str] | None, typed: str = "") -> argparse.Namespace:
    """The options of one verb; ends the command where they are wrong or ask for help.

    Overrides may stand after flags: argparse gives the first positional arguments alone to a sub-parser's `nargs="*"`
    and returns later ones as unknown.
    """
    options, unknown = build_parser(typed).parse_known_args(argv)
    if unknown:
        if not hasattr(options, "overrides") or any(text.startswith("-") for text in unknown):
            options.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        options.overrides += unknown
    return options


def main(argv: Sequence[str] | None = None, typed: str = "") -> int:
    """`raymeter VERB ...`; returns the exit code.

    Args:
        argv: The words after `raymeter`; those of the command line where it is None.
        typed: As `build_parser`.
    """
    options = parse(argv, typed)
    return guarded(lambda: int(options.run(options)))  # a verb guards its work itself; here, what it imports for it


if __name__ == "__main__":
    sys.exit(main())
