"""`raymeter export`: a run's signals in another tool's layout; no Ray."""

from __future__ import annotations

import argparse

from raymeter.cli.guard import guarded, tell
from raymeter.cli.signal_options import add_exchange
from raymeter.cli.verb import Verbs
from raymeter.errors import ConfigError

ONE_TARGET = ("leakpro", "privacyguard")


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter export`."""
    parser = verbs.add_parser(
        "export",
        help="write a run's signals as another tool's",
        description="Write the signals of a finished run in another tool's layout.",
    )
    add_exchange(parser, "run directory of a finished audit, or of an import")
    parser.add_argument("--target", type=int, metavar="MODEL", help="the one target of leakpro and privacyguard")
    return parser


def run(options: argparse.Namespace) -> int:
    """Export, and print what the other layout leaves out."""
    from raymeter.pipeline.exchange import export_signals

    def command() -> int:
        if options.target is not None and options.format not in ONE_TARGET:
            raise ConfigError(
                f"--target is for {' and '.join(ONE_TARGET)}; {options.format} has all targets, leave it out"
            )
        exported = export_signals(options.source, options.format, options.out, options.target)
        for note in exported.notes:
            tell(note)
        tell(f"{options.format}: {exported.place}")
        return 0

    return guarded(command)
