"""`raymeter report DIR`: the page of a finished report again, from what is stored; no Ray, no models."""

from __future__ import annotations

import argparse

from raymeter.cli.gate import add_gates, pass_gates
from raymeter.cli.guard import guarded, tell
from raymeter.cli.verb import Verbs


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter report`."""
    parser = verbs.add_parser(
        "report",
        help="make the page of a finished audit again",
        description="Make index.html of a finished report again, and judge gates.",
    )
    parser.add_argument("place", metavar="DIR", help="a run directory with a report, or a report's own directory")
    add_gates(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Write the page, and pass the gates."""
    from raymeter.pipeline.report import renew_page
    from raymeter.report.gate import parse_gates

    def command() -> int:
        gates = parse_gates(options.fail_if)
        page = renew_page(options.place)
        tell(f"Page: {page.place}")
        return pass_gates(gates, page.attacks, page.doubts)

    return guarded(command)
