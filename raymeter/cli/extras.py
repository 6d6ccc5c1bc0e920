"""Options that `score` and `import` share: what a user adds to signals of another tool."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raymeter.formats import Extras


KINDS = ("prob", "log_prob", "loss", "logit_gap", "logits")


def add_extras(parser: argparse.ArgumentParser) -> None:
    """Flags for what signals lack by themselves."""
    parser.add_argument(
        "--members", metavar="FILE", help=".npy [records, models], 1 where a model was trained on a record"
    )
    parser.add_argument("--ids", metavar="FILE", help=".npy: the number of each record")
    parser.add_argument("--labels", metavar="FILE", help=".npy: the class of each record")
    parser.add_argument("--kind", choices=KINDS, help="what the signals are, of the true class but for logits")


def extras_of(options: argparse.Namespace) -> Extras:
    """The arrays that the flags name."""
    from raymeter.formats import Extras
    from raymeter.formats.reading import load_array, load_arrays, whole_numbers

    def vector(name: str) -> Any:
        path = getattr(options, name)
        return None if path is None else whole_numbers(load_array(Path(path)), path)

    members: dict[str, Any] = {}
    if options.members is not None:
        path = Path(options.members)
        members = load_arrays(path) if path.suffix == ".npz" else {"member": load_array(path)}
    for name in ("population", "population_labels"):
        if getattr(options, name, None) is not None:
            members[name] = load_array(Path(getattr(options, name)))
    return Extras(
        ids=vector("ids"),
        labels=vector("labels"),
        members=members,
        kind=options.kind,
        logits=options.kind == "logits" or getattr(options, "logits", False),
        batch_norm=getattr(options, "batch_norm", None),
    )
