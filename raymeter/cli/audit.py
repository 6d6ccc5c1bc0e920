"""`raymeter audit CONFIG`: a whole audit from a YAML file; also `python -m raymeter.audit`."""

from __future__ import annotations

import argparse
import os
import sys

from raymeter import __version__
from raymeter.cli.gate import add_gates
from raymeter.cli.guard import guarded, say_error, tell
from raymeter.cli.verb import Verbs


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter audit`."""
    parser = verbs.add_parser(
        "audit",
        help="run a whole audit from a YAML file",
        description="Audit how much a training procedure leaks about its records.",
    )
    parser.add_argument(
        "config", metavar="CONFIG", help="YAML file, see configs/README.md; or a shipped one by its name, such as demo"
    )
    add_options(parser)
    return parser


def add_options(parser: argparse.ArgumentParser) -> None:
    """What may be said beside the configuration."""
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a key of the file")
    parser.add_argument("--dry-run", action="store_true", help="print the resolved configuration and the plan")
    said = parser.add_mutually_exclusive_group()
    said.add_argument("--verbose", action="store_true", help="show the messages of Ray too")
    said.add_argument("--quiet", action="store_true", help="print the result alone")
    parser.add_argument(
        "--json-logs", action="store_true", help="write every message as a line of JSON, for a log collector"
    )
    add_gates(parser)


def run(options: argparse.Namespace) -> int:
    """Audit, or print the plan; then judge the gates."""
    if not (options.quiet or options.json_logs or options.dry_run):
        tell(f"raymeter {__version__}: loading ...")  # torch and Ray take seconds
    from pathlib import Path

    from raymeter.cli.gate import pass_gates
    from raymeter.config.load import load_config
    from raymeter.pipeline.console import JsonConsole, QuietConsole
    from raymeter.report.gate import parse_gates

    console = JsonConsole() if options.json_logs else QuietConsole() if options.quiet else None

    def command() -> int:
        sys.path.insert(0, os.getcwd())  # so that module:function finds the user's files
        config = load_config(options.config, options.overrides)
        gates = parse_gates(options.fail_if, config.attacks)
        if options.dry_run:  # which needs neither Ray's start nor pictures
            from raymeter.distributed.job_upload import left_out
            from raymeter.pipeline.dry_run import dry_run

            tell(dry_run(config))
            for line in left_out(config, options.config, Path.cwd()):
                tell(line)
            return 0
        from raymeter.pipeline.audit import audit
        from raymeter.report.data_files import plain_attacks
        from raymeter.report.verdict import inconclusive

        result = audit(config, verbose=options.verbose, console=console)
        return pass_gates(gates, plain_attacks(result), inconclusive(result))

    return guarded(command, say=console.error if isinstance(console, JsonConsole) else say_error)
