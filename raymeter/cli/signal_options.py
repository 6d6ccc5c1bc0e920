"""Options that `score`, `import` and `export` share: a layout, and what a user adds to signals of another tool."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raymeter.pipeline.extra_files import ExtraFiles

# `FORMATS` and `Kind` of raymeter.formats, which takes NumPy and PyArrow to load; a test holds them equal.
FORMAT_NAMES = ("privacy-meter", "lira", "lira-analysis", "leakpro", "privacyguard", "arrays")
SIGNAL_KINDS = ("prob", "log_prob", "loss", "logit_gap", "logits")


def add_exchange(parser: argparse.ArgumentParser, source: str) -> None:
    """From where, in which layout, and to where; `source` is the help text of SOURCE."""
    parser.add_argument("source", metavar="SOURCE", help=source)
    parser.add_argument("--format", required=True, choices=FORMAT_NAMES)
    parser.add_argument("--out", required=True, metavar="DIR", help="a new or empty directory")


def add_extras(parser: argparse.ArgumentParser) -> None:
    """Flags for what signals lack by themselves."""
    parser.add_argument(
        "--members", metavar="FILE", help=".npy [records, models], 1 where a model was trained on a record"
    )
    parser.add_argument("--ids", metavar="FILE", help=".npy: the number or name of each record")
    parser.add_argument("--labels", metavar="FILE", help=".npy: the class of each record")
    parser.add_argument(
        "--kind", choices=SIGNAL_KINDS, help="what the signals are; all but logits are of the true class"
    )


def extra_files(options: argparse.Namespace) -> ExtraFiles:
    """The files that the flags name, not read yet; a verb without a flag has nothing of it."""
    from raymeter.pipeline.extra_files import ExtraFiles

    return ExtraFiles(
        ids=options.ids,
        labels=options.labels,
        members=options.members,
        population=getattr(options, "population", None),
        population_labels=getattr(options, "population_labels", None),
        kind=options.kind,
        logits=options.kind == "logits" or getattr(options, "logits", False),
        batch_norm=getattr(options, "batch_norm", None),
    )
