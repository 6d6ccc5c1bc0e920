"""`raymeter explain-difference A B`: why two results differ; run directories, reports or tables of scores; no Ray."""

from __future__ import annotations

import argparse

from raymeter.cli.guard import guarded, tell
from raymeter.cli.verb import Verbs
from raymeter.errors.text import one_line


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter explain-difference`."""
    parser = verbs.add_parser(
        "explain-difference",
        help="explain why two results differ",
        description="Explain why two results differ: records, memberships, references, signals, settings, direction.",
    )
    what = "a run directory (audited or imported), a report that raymeter score wrote, or a table of scores"
    parser.add_argument("a", metavar="A", help=what)
    parser.add_argument("b", metavar="B", help="another")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def run(options: argparse.Namespace) -> int:
    """Explain, and print."""
    import json
    from pathlib import Path

    from raymeter.pipeline.explain_difference import explain_difference
    from raymeter.report.data_files import plain
    from raymeter.report.difference_text import difference_lines

    def command() -> int:
        difference = explain_difference(Path(options.a), Path(options.b))
        if options.json:
            print(json.dumps(plain(difference), indent=2, allow_nan=False))
            return 0
        tell(f"A: {one_line(options.a)}\nB: {one_line(options.b)}\n")
        for line in difference_lines(difference):
            tell(line)
        return 0

    return guarded(command)
