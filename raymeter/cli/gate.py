"""Gates for continuous integration: `--fail-if "rmia.auc.low > 0.55"` on metrics.json."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raymeter.cli.guard import say_error

if TYPE_CHECKING:
    from raymeter.report.gate import Gate

EXIT_CODE = 3


def add_gates(parser: argparse.ArgumentParser) -> None:
    """The flag --fail-if."""
    parser.add_argument(
        "--fail-if",
        action="append",
        default=[],
        metavar="CONDITION",
        help=f'exit with code {EXIT_CODE} if it holds, such as "rmia.auc.low > 0.55"; may be given several times',
    )


def pass_gates(gates: Sequence[Gate], attacks: Mapping[str, Any], doubts: Sequence[str] = ()) -> int:
    """Judge, print what failed to stderr, and return the exit code.

    Args:
        gates: Conditions as `parse_gates` gives them.
        attacks: `attacks` of metrics.json.
        doubts: Why an audit that found nothing is inconclusive; a gate that it passes says so.
    """
    from raymeter.report.gate import judge

    failures = judge(gates, attacks)
    for line in failures:
        say_error(line)
    if gates and not failures and doubts:
        say_error(f"passed, but inconclusive: {'; '.join(doubts)}")
    return EXIT_CODE if failures else 0
