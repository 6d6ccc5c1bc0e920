"""`raymeter explain-difference A B`: why two results differ; run directories, reports or tables of scores; no Ray."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raymeter.cli.guard import guarded
from raymeter.pipeline.open_result import load_side, with_attacks

if TYPE_CHECKING:
    from raymeter.analysis.differences.findings import Difference


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="raymeter explain-difference",
        description="Say why two results differ: records, memberships, references, signals, settings, direction.",
    )
    what = "a run directory (audited or imported), a report that raymeter score wrote, or a table of scores"
    parser.add_argument("a", metavar="A", help=what)
    parser.add_argument("b", metavar="B", help="another")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args(argv)
    return guarded(lambda: explain(options))


def explain(options: argparse.Namespace) -> int:
    """Read both, compare them, print."""
    from raymeter.analysis.differences.findings import explain_difference
    from raymeter.report.data_files import plain

    a, b = with_attacks(load_side(Path(options.a), "A"), load_side(Path(options.b), "B"))
    difference = explain_difference(a, b)
    if options.json:
        print(json.dumps(plain(difference), indent=2, allow_nan=False))
        return 0
    print(f"A: {options.a}\nB: {options.b}\n")
    for line in lines(difference):
        print(line)
    return 0


def lines(difference: Difference) -> Iterator[str]:
    """What differs first, then what does not, then the walks."""
    for title, differs in (("Different:", True), ("Alike, or not known:", False)):
        found = [finding.text for finding in difference.findings if finding.differs == differs]
        if found:
            yield title
            yield from (f"  {text}" for text in found)
    for label, steps in difference.walks.items():
        yield f"\n{label}: AUC on the way from A to B (the change is what each thing adds in this order)"
        for step in steps:
            figure = "cannot run" if step.auc is None else f"{step.auc.estimate:.4f}"
            change = "" if step.change is None else f"  {step.change:+.4f}"
            yield f"  {step.what:<26} {figure}{change}"
        if len(steps) == 1:
            yield "  nothing that this attack uses differs"
    for label, matches in difference.matches.items():
        yield f"\n{label}: nearest attacks"
        yield from (f"  {match.correlation:+.4f}  {match.name}" for match in matches)
