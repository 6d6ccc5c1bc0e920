"""Gates for continuous integration: `--fail-if "rmia.auc.low > 0.55"` on metrics.json."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from raymeter.report.gate import EXAMPLE, Gate, judge

EXIT_CODE = 3


def add_gates(parser: argparse.ArgumentParser) -> None:
    """The flag --fail-if."""
    parser.add_argument(
        "--fail-if",
        action="append",
        default=[],
        metavar="CONDITION",
        help=f"end with code {EXIT_CODE} where it holds, such as {EXAMPLE}; may be given several times",
    )


def pass_gates(gates: Sequence[Gate], attacks: Mapping[str, Any]) -> int:
    """Judge, say what failed, and return the exit code."""
    failed = judge(gates, attacks)
    for line in failed:
        print(line, file=sys.stderr)
    return EXIT_CODE if failed else 0
