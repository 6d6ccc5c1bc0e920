"""`raymeter import` and `raymeter export`: run directories from other tools' signals, and back; no Ray."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raymeter.cli.extras import add_extras, extras_of
from raymeter.cli.guard import guarded
from raymeter.errors import ConfigError
from raymeter.pipeline.exchange import _refuse_full, save

if TYPE_CHECKING:
    pass


NAMES = ("privacy-meter", "lira", "lira-analysis", "leakpro", "privacyguard", "arrays")
USED = {  # what each format has a use for
    "privacy-meter": ("ids", "labels", "kind"),
    "lira": ("ids", "labels", "logits"),
    "lira-analysis": ("ids", "labels", "logits"),
    "leakpro": ("labels", "members", "logits"),
    "privacyguard": ("ids", "kind"),
    "arrays": ("ids", "labels", "members", "kind"),
}


def import_main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="raymeter import",
        description="Make a run directory of signals in another tool's layout (docs/import-export.md).",
    )
    _common(parser, "what the other tool wrote")
    add_extras(parser)
    parser.add_argument(
        "--logits", action="store_true", help="keep logits, where there are any, for entropy and sweeps"
    )
    parser.add_argument(
        "--batch-norm", choices=("eval", "batch"), help="how models normalised: running or batch statistics"
    )
    options = parser.parse_args(argv)
    return guarded(lambda: import_signals(options))


def _common(parser: argparse.ArgumentParser, source: str) -> None:
    parser.add_argument("source", metavar="SOURCE", help=source)
    parser.add_argument("--format", required=True, choices=NAMES)
    parser.add_argument("--out", required=True, metavar="DIR", help="a new or empty directory")


def import_signals(options: argparse.Namespace) -> int:
    """Read, check, write a run directory, and say what was found."""
    from raymeter.analysis.outside_results import direction
    from raymeter.formats import FORMATS
    from raymeter.formats.tables import write_scores
    from raymeter.storage.run_store import RunStore

    for name in ("ids", "labels", "members", "kind", "logits"):
        if getattr(options, name) and name not in USED[options.format]:
            takes = ", ".join(f"--{used}" for used in USED[options.format])
            raise ConfigError(f"--{name} says nothing about {options.format}, which takes {takes}; leave it out")
    store = RunStore.at(options.out)
    _refuse_full(store, "run.json", "signals/index.json", "models/memberships.npy")
    imported = FORMATS[options.format].read(Path(options.source), extras_of(options))
    about = {"format": options.format, "source": options.source, **imported.about}
    if options.batch_norm is not None:
        about["batch_norm"] = options.batch_norm
    save(imported, about, store)
    for name, scores in imported.scores.items():
        store.write(f"scores/{name}.parquet", write_scores(scores))
    matrix = imported.signals.audit["logit_gap"]
    examples, models, views = matrix.values.shape
    population = len(imported.signals.population["logit_gap"].values)
    print(
        f"{options.format}: {examples} records x {models} models x {views} views, {len(matrix.targets)} targets, "
        f"population {population}"
    )
    for line in (*imported.notes, *direction(matrix)):
        print(line)
    for name in imported.scores:
        print(f"Scores: {store.name}/scores/{name}.parquet (raymeter score judges them)")
    print(f"Run directory: {store.name} (raymeter score {options.out} attacks it)")
    return 0
