"""The command lines of `audit` and `sweep`; Ray, torch and all that they run is loaded after they are parsed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from raymeter.console import JsonConsole, StageConsole, guarded, say_error
from raymeter.gate import add_gates, parse_gates, pass_gates


def audit_main(argv: Sequence[str] | None = None) -> int:
    """`raymeter audit`; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="python -m raymeter.audit", description="Audit how much a training procedure leaks about its records."
    )
    parser.add_argument("config", metavar="CONFIG", help="YAML file, see configs/README.md")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a key of the file")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and the plan")
    parser.add_argument("--verbose", action="store_true", help="show what Ray says")
    parser.add_argument("--json-logs", action="store_true", help="say everything in lines of JSON, for a log collector")
    add_gates(parser)
    options = parser.parse_intermixed_args(argv)
    sys.path.insert(0, os.getcwd())  # so that module:function finds the user's files
    console = JsonConsole() if options.json_logs else None
    return guarded(lambda: run_audit(options, console), say=console.error if console else say_error)


def run_audit(options: argparse.Namespace, console: StageConsole | None) -> int:
    """Audit, or say what an audit would do; judge."""
    from raymeter.audit import audit, dry_run
    from raymeter.config import load_config
    from raymeter.report import plain_attacks
    from raymeter.upload import left_out

    config = load_config(options.config, options.overrides)
    gates = parse_gates(options.fail_if, config.attacks)
    if options.dry_run:
        print(dry_run(config))
        for line in left_out(config, options.config, Path.cwd()):
            print(line)
        return 0
    result = audit(config, verbose=options.verbose, console=console)
    return pass_gates(gates, plain_attacks(result))


def sweep_main(argv: Sequence[str] | None = None) -> int:
    """`raymeter sweep`; see `--help`."""
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
    options = parser.parse_intermixed_args(argv)
    return guarded(lambda: run_sweep(options), kept="finished settings")


def run_sweep(options: argparse.Namespace) -> int:
    """Sweep."""
    from raymeter.sweep import sweep
    from raymeter.sweepspace import load_sweep

    sweep(load_sweep(options.config, options.overrides), verbose=options.verbose)
    return 0
