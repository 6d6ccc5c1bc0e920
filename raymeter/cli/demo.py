"""`raymeter demo`: the audit of configs/demo.yaml, from any directory."""

from __future__ import annotations

import argparse

from raymeter.cli import audit
from raymeter.cli.verb import Verbs


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter demo`."""
    parser = verbs.add_parser(
        "demo",
        help="audit 16 small models of handwritten digits, to see what there is",
        description="Audit 16 small models of handwritten digits: real data, no download, about a minute.",
    )
    parser.set_defaults(config="demo")
    audit.add_options(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """As `raymeter audit demo`."""
    return audit.run(options)
