"""`raymeter init DATA`: a first configuration for data that somebody has."""

from __future__ import annotations

import argparse

from raymeter.cli.guard import guarded, tell
from raymeter.cli.verb import Verbs


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter init`."""
    parser = verbs.add_parser(
        "init",
        help="write a first configuration for your data",
        description="Look at a table (.csv, .parquet) or arrays (.npz), and write a configuration with comments.",
    )
    parser.add_argument("data", metavar="DATA", help=".csv or .parquet with a column of classes, or .npz with x and y")
    parser.add_argument("--label", metavar="COLUMN", help="the column of classes; by default y or label")
    parser.add_argument("--out", metavar="FILE", help="the configuration; by default <name of the data>.yaml")
    return parser


def run(options: argparse.Namespace) -> int:
    """Look at the data, write the file, and say how to go on."""
    from pathlib import Path

    from raymeter.pipeline.first_config import first_config, write_new

    def command() -> int:
        path = Path(options.out or f"{Path(options.data).stem}.yaml")
        config = first_config(options.data, str(path), options.label)
        write_new(path, config.text)
        for line in config.decided:
            tell(line)
        tell(f"{path} is written; look at it, then: raymeter audit {path}")
        return 0

    return guarded(command)
