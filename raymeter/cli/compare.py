"""`raymeter compare A B`: does B leak more than A, and which records moved; as text, JSON or a page; no Ray."""

from __future__ import annotations

import argparse

from raymeter.cli.gate import add_gates, pass_gates
from raymeter.cli.guard import guarded, tell
from raymeter.cli.verb import Verbs


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter compare`."""
    parser = verbs.add_parser(
        "compare",
        help="say how much more one audit leaks than another",
        description="Compare two audits: differences in AUC (B minus A) and records that moved. "
        "Conditions of --fail-if are about the difference: rmia.auc.low > 0.",
    )
    what = "a run directory with a report, or a report's own directory"
    parser.add_argument("a", metavar="A", help=what)
    parser.add_argument("b", metavar="B", help="another; differences are B minus A")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--html", metavar="FILE", help="also write a page")
    add_gates(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare, print, and pass the gates, which are about the differences."""
    import json
    from pathlib import Path

    from raymeter.pipeline.compare import compare, write_comparison_page
    from raymeter.report.comparison_text import comparison_lines
    from raymeter.report.data_files import plain
    from raymeter.report.gate import parse_gates

    def command() -> int:
        gates = parse_gates(options.fail_if)
        comparison = compare(options.a, options.b)
        content = plain(comparison)
        if options.json:
            print(json.dumps(content, indent=2, allow_nan=False))
        else:
            for line in comparison_lines(comparison):
                tell(line)
        if options.html:
            write_comparison_page(comparison, Path(options.html))
        differences = {label: {"auc": attack["auc"]} for label, attack in content["attacks"].items()}
        return pass_gates(gates, differences, comparison.inconclusive)

    return guarded(command)
