"""`raymeter doctor [CONFIG]`: is this machine ready for an audit, and what is to be done where it is not."""

from __future__ import annotations

import argparse
import os
import sys

from raymeter.cli.guard import guarded, tell
from raymeter.cli.verb import Verbs


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter doctor`."""
    parser = verbs.add_parser(
        "doctor",
        help="check whether this machine is ready",
        description="Check Python, Ray, torch, GPU, memory, data and storage; say what to do.",
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="YAML file whose data and storage are checked too")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a key of the file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run the checks and print what they find, each as soon as it is known; code 1 where there is a problem."""
    import json
    from dataclasses import asdict

    from raymeter.pipeline.doctor import check_all

    def command() -> int:
        config = None
        if options.config is not None:
            from raymeter.config.load import load_config  # not needed, and perhaps not there, without a file

            sys.path.insert(0, os.getcwd())  # so that module:function finds the user's files
            config = load_config(options.config, options.overrides)
        checks = []
        for check in check_all(config):
            checks.append(check)
            if not options.json:
                remedy = f"\n          -> {check.remedy}" if check.remedy else ""
                tell(f"{check.state:<8}  {check.check}: {check.text}{remedy}")
        problems = sum(check.state == "problem" for check in checks)
        if options.json:
            print(json.dumps({"findings": [asdict(check) for check in checks]}, indent=2))
        else:
            print(f"\n{problems} problem{'s' if problems > 1 else ''}" if problems else "\nready for an audit")
        return 1 if problems else 0

    return guarded(command)
