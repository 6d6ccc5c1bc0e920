"""`raymeter import` and `raymeter export`: run directories from other tools' signals, and back; no Ray."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raymeter.console import guarded
from raymeter.errors import ConfigError, DataError, StoreError
from raymeter.score import add_extras, extras_of

if TYPE_CHECKING:
    from raymeter.formats import Imported
    from raymeter.schema import SignalMatrix, Signals
    from raymeter.store import RunStore

NAMES = ("privacy-meter", "lira", "lira-analysis", "leakpro", "privacyguard", "arrays")
IMPORT_VERSION = 1
USED = {  # what each format has a use for
    "privacy-meter": ("ids", "labels", "kind"),
    "lira": ("ids", "labels", "logits"),
    "lira-analysis": ("ids", "labels", "logits"),
    "leakpro": ("labels", "members", "logits"),
    "privacyguard": ("ids", "kind"),
    "arrays": ("ids", "labels", "members", "kind"),
}
ONE_TARGET = ("leakpro", "privacyguard")


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


def export_main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="raymeter export", description="Write the signals of a finished run in another tool's layout."
    )
    _common(parser, "run directory of a finished audit, or of an import")
    parser.add_argument("--target", type=int, metavar="MODEL", help="the one target of leakpro and privacyguard")
    options = parser.parse_args(argv)
    return guarded(lambda: export_signals(options))


def _common(parser: argparse.ArgumentParser, source: str) -> None:
    parser.add_argument("source", metavar="SOURCE", help=source)
    parser.add_argument("--format", required=True, choices=NAMES)
    parser.add_argument("--out", required=True, metavar="DIR", help="a new or empty directory")


def import_signals(options: argparse.Namespace) -> int:
    """Read, check, write a run directory, and say what was found."""
    from raymeter.assess import direction
    from raymeter.formats import FORMATS
    from raymeter.formats.tables import write_scores
    from raymeter.store import RunStore

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


def save(imported: Imported, about: Mapping[str, Any], store: RunStore) -> None:
    """Signals as a run directory: columns, then masks and index, so that an interrupted import is no run."""
    from raymeter.config import build_config
    from raymeter.formats.values import npy
    from raymeter.signals import KINDS
    from raymeter.signalstore import save_index

    signals = imported.signals
    models = signals.audit[KINDS[0]].values.shape[1]
    columns: dict[str, list[str]] = {}
    for part, matrices in (("audit", signals.audit), ("population", signals.population)):
        columns[part] = [f"imported_{part}_{m}" for m in range(models)]
        for m, key in enumerate(columns[part]):
            store.save_column(key, np.stack([matrices[kind].values[:, m] for kind in KINDS]), {"imported": True})
    kept = {"logits_audit": signals.audit_logits, "logits_population": signals.population_logits}
    for part, logits in kept.items():
        if logits is not None:
            columns[part] = [f"imported_{part}_{m}" for m in range(models)]
            for m, key in enumerate(columns[part]):
                store.save_column(key, np.ascontiguousarray(logits[:, m]), {"imported": True})
    identity = {"store_version": IMPORT_VERSION, "imported": {**about, "notes": list(imported.notes)}}
    store.write("models/memberships.npy", npy(np.ascontiguousarray(signals.audit[KINDS[0]].member.T)))
    store.write_json("run.json", identity)
    config = build_config({"run": {"log_dir": store.uri}}).resolved()
    save_index(store, signals, columns, {**config, "imported": dict(about)})


def export_signals(options: argparse.Namespace) -> int:
    """Read a run's signals, write them in another layout, and say what it leaves out."""
    from raymeter.formats import FORMATS
    from raymeter.signalstore import load_signals
    from raymeter.store import RunStore

    if options.target is not None and options.format not in ONE_TARGET:
        raise ConfigError(f"--target is for {' and '.join(ONE_TARGET)}; {options.format} has all targets, leave it out")
    out = RunStore.at(options.out)
    if Path(out.uri).is_dir() and any(Path(out.uri).iterdir()):
        raise StoreError(f"{out.uri} is not empty; choose a new --out")
    signals = load_signals(RunStore.at(options.source)).signals
    exported = FORMATS[options.format].write(first_target(signals, options.target))
    for path, data in exported.files:
        out.write(path, data)
    for line in exported.notes:
        print(line)
    print(f"{options.format}: {out.uri}")
    return 0


def first_target(signals: Signals, model: int | None) -> Signals:
    """The signals with one target first, for formats that know a single one.

    Raises:
        DataError: That model is no target.
    """
    if model is None:
        return signals
    targets = signals.audit["log_prob"].targets
    place = np.flatnonzero(targets == model)
    if not place.size:
        raise DataError(f"--target: model {model} is no target of this run; choose one of {targets.tolist()}")
    order = np.concatenate([place, np.flatnonzero(targets != model)])

    def ordered(matrices: Mapping[str, SignalMatrix]) -> dict[str, SignalMatrix]:
        return {
            kind: replace(matrix, targets=matrix.targets[order], reference=matrix.reference[order])
            for kind, matrix in matrices.items()
        }

    return replace(signals, audit=ordered(signals.audit), population=ordered(signals.population))


def _refuse_full(store: RunStore, *marks: str) -> None:
    for mark in marks:
        if store.read(mark) is not None:
            raise StoreError(
                f"{store.name} holds a run already ({mark}); choose another --out, or delete that directory"
            )
