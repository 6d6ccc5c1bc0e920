"""The command lines of `audit` and `sweep`, which can be told before Ray, torch and all that they run is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from raymeter.gate import add_gates


def audit_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Of `raymeter audit`; ends the command where they are wrong or ask for help."""
    parser = argparse.ArgumentParser(
        prog="python -m raymeter.audit", description="Audit how much a training procedure leaks about its records."
    )
    parser.add_argument("config", metavar="CONFIG", help="YAML file, see configs/README.md")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a key of the file")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and the plan")
    parser.add_argument("--verbose", action="store_true", help="show what Ray says")
    parser.add_argument("--json-logs", action="store_true", help="say everything in lines of JSON, for a log collector")
    add_gates(parser)
    return parser.parse_intermixed_args(argv)


def sweep_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Of `raymeter sweep`; ends the command where they are wrong or ask for help."""
    parser = argparse.ArgumentParser(
        prog="python -m raymeter.sweep", description="Try attack settings on the stored signals of a finished audit."
    )
    parser.add_argument(
        "config", metavar="CONFIG", help="YAML file, such as configs/sweeps/rmia.yaml; see docs/sweeps.md"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="section.key=value",
        help="override a key of the file: run.log_dir=demo (the audit), sweep.name=mine, sweep.metric=tpr@0.01",
    )
    parser.add_argument("--verbose", action="store_true", help="show what Ray says")
    return parser.parse_intermixed_args(argv)
