"""`raymeter sweep`: its command line, parsed before Ray, torch and all that it runs is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


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


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    options = sweep_arguments(argv)
    from raymeter.cli.guard import guarded
    from raymeter.pipeline.sweep import sweep
    from raymeter.sweep.space import load_sweep

    def command() -> int:
        sweep(load_sweep(options.config, options.overrides), verbose=options.verbose)
        return 0

    return guarded(command, kept="finished settings")
