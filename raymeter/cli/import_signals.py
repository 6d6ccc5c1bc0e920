"""`raymeter import`: a run directory from another tool's signals; no Ray."""

from __future__ import annotations

import argparse

from raymeter.cli.guard import guarded, tell
from raymeter.cli.signal_options import add_exchange, add_extras, extra_files
from raymeter.cli.verb import Verbs
from raymeter.errors import ConfigError

USED_FLAGS = {  # those that a format has a use for
    "privacy-meter": ("ids", "labels", "kind"),
    "lira": ("ids", "labels", "logits"),
    "lira-analysis": ("ids", "labels", "logits"),
    "leakpro": ("labels", "members", "logits"),
    "privacyguard": ("ids", "kind"),
    "arrays": ("ids", "labels", "members", "kind"),
}


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter import`."""
    parser = verbs.add_parser(
        "import",
        help="make a run directory of another tool's signals",
        description="Make a run directory of signals in another tool's layout (docs/import-export.md).",
    )
    add_exchange(parser, "what the other tool wrote")
    add_extras(parser)
    parser.add_argument(
        "--logits", action="store_true", help="keep logits, where there are any, for entropy and sweeps"
    )
    parser.add_argument(
        "--batch-norm", choices=("eval", "batch"), help="how models normalised: running or batch statistics"
    )
    return parser


def run(options: argparse.Namespace) -> int:
    """Import, and print what was imported."""
    from raymeter.pipeline.exchange import import_signals

    def command() -> int:
        _check_flags(options)
        imported = import_signals(options.source, options.format, options.out, extra_files(options))
        matrix = imported.signals.audit["logit_gap"]
        examples, models, views = matrix.values.shape
        population = len(imported.signals.population["logit_gap"].values)
        tell(
            f"{options.format}: {examples} records x {models} models x {views} views, {len(matrix.targets)} targets, "
            f"population {population}"
        )
        for note in imported.notes:
            tell(note)
        for path in imported.scores:
            tell(f"Scores: {path} (raymeter score judges them)")
        tell(f"Run directory: {imported.place} (raymeter score {options.out} attacks it)")
        return 0

    return guarded(command)


def _check_flags(options: argparse.Namespace) -> None:
    """Refuse a flag that the format has no use for, rather than ignore it."""
    used = USED_FLAGS[options.format]
    for name in ("ids", "labels", "members", "kind", "logits"):
        if getattr(options, name) and name not in used:
            takes = ", ".join(f"--{flag}" for flag in used)
            raise ConfigError(f"--{name} does not apply to {options.format}, which takes {takes}; leave it out")
