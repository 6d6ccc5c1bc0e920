"""`raymeter compare A B`: does B leak more than A, and which records moved; as text, JSON or a page; no Ray."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from raymeter.cli.gate import add_gates, pass_gates
from raymeter.cli.guard import guarded
from raymeter.errors import DataError
from raymeter.report.gate import parse_gates
from raymeter.report.stored import read_outcome

if TYPE_CHECKING:
    from raymeter.analysis.comparison import Movement, RunComparison


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="raymeter compare",
        description="Compare two audits: differences in AUC (B minus A) and records that moved. "
        "Conditions of --fail-if are about the difference: rmia.auc.low > 0.",
    )
    what = "a run directory with a report, or a report's own directory"
    parser.add_argument("a", metavar="A", help=what)
    parser.add_argument("b", metavar="B", help="another; differences are B minus A")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--html", metavar="FILE", help="write a page besides")
    add_gates(parser)
    options = parser.parse_args(argv)
    return guarded(lambda: compare(options))


def compare(options: argparse.Namespace) -> int:
    """Read both, compare, print, judge."""
    from raymeter.analysis.comparison import compare_outcomes
    from raymeter.report.data_files import plain

    gates = parse_gates(options.fail_if)
    found = compare_outcomes(read_outcome(options.a), read_outcome(options.b))
    content = plain(found)
    if options.json:
        print(json.dumps(content, indent=2, allow_nan=False))
    else:
        for line in lines(found):
            print(line)
    if options.html:
        write_page(found, Path(options.html))
    return pass_gates(gates, {label: {"auc": each["auc"]} for label, each in content["attacks"].items()})


def write_page(found: RunComparison, path: Path) -> None:
    """The comparison as a page of its own.

    Raises:
        DataError: It cannot be written.
    """
    from raymeter.report.page.templates import render

    try:
        path.write_text(render("comparison.html", found=found), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); give another path") from None


def lines(found: RunComparison) -> Iterator[str]:
    """The comparison as text."""
    yield f"A: {found.a}"
    yield f"B: {found.b}"
    width = max(len(label) for label in found.attacks)
    yield f"\n{'AUC':<{width}}  {'A':>7}  {'B':>7}  B minus A [95 % interval], p"
    for label, each in found.attacks.items():
        how = "" if each.paired else "  (other members or records: not paired)"
        yield (
            f"{label:<{width}}  {each.a.estimate:7.4f}  {each.b.estimate:7.4f}  {each.auc.estimate:+.4f} "
            f"[{each.auc.low:+.4f}, {each.auc.high:+.4f}], p = {each.auc.p_value:.2g}{how}"
        )
    if found.settings:
        yield f"other settings under the same name: {'; '.join(found.settings)}"
    if found.note:
        yield found.note
    for name, only in (("A", found.only_a), ("B", found.only_b)):
        if only:
            yield f"only in {name}: {', '.join(only)}"
    if found.movement is not None:
        yield from _moved(found.movement)


def _moved(movement: Movement) -> Iterator[str]:
    yield (
        f"\n{movement.records} records in both, by {movement.attack}: rank correlation of their exposure "
        + (f"{movement.correlation:.3f}" if isfinite(movement.correlation) else "not defined")
    )
    if movement.named is not None:
        first, second, both = movement.named
        yield f"named at risk: {first} in A, {second} in B, {both} in both"
    for title, moved in (("rose most", movement.risen), ("fell most", movement.fallen)):
        if moved:
            yield f"{title} (share of the records that are less exposed, A -> B):"
            yield from (f"  record {record}: {before:.3f} -> {after:.3f}" for record, before, after in moved)
