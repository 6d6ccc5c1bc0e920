"""`raymeter sweep CONFIG`: attack settings tried on a finished audit's signals; also `python -m raymeter.sweep`."""

from __future__ import annotations

import argparse

from raymeter import __version__
from raymeter.cli.guard import guarded, tell
from raymeter.cli.verb import Verbs


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter sweep`."""
    parser = verbs.add_parser(
        "sweep",
        help="try attack settings on a finished audit's signals",
        description="Try attack settings on the stored signals of a finished audit.",
    )
    parser.add_argument(
        "config",
        metavar="CONFIG",
        help="YAML file, see docs/sweeps.md; or a shipped one by its name, such as rmia",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="section.key=value",
        help="override a key of the file: run.log_dir=demo (the audit), sweep.name=mine, sweep.metric=tpr@0.01",
    )
    parser.add_argument("--verbose", action="store_true", help="show the messages of Ray too")
    return parser


def run(options: argparse.Namespace) -> int:
    """Sweep; the result is in the run directory."""
    tell(f"raymeter {__version__}: loading ...")  # Ray takes seconds
    from raymeter.pipeline.sweep import sweep
    from raymeter.sweep.space import load_sweep

    def command() -> int:
        sweep(load_sweep(options.config, options.overrides), verbose=options.verbose)
        return 0

    return guarded(command, kept="finished settings")
