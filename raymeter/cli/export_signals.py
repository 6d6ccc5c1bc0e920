"""`raymeter export`: a run's signals in another tool's layout; no Ray."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raymeter.cli.guard import guarded
from raymeter.cli.import_signals import _common
from raymeter.errors import ConfigError, StoreError
from raymeter.pipeline.exchange import first_target

if TYPE_CHECKING:
    pass


ONE_TARGET = ("leakpro", "privacyguard")


def export_main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="raymeter export", description="Write the signals of a finished run in another tool's layout."
    )
    _common(parser, "run directory of a finished audit, or of an import")
    parser.add_argument("--target", type=int, metavar="MODEL", help="the one target of leakpro and privacyguard")
    options = parser.parse_args(argv)
    return guarded(lambda: export_signals(options))


def export_signals(options: argparse.Namespace) -> int:
    """Read a run's signals, write them in another layout, and say what it leaves out."""
    from raymeter.formats import FORMATS
    from raymeter.signals.stored import load_signals
    from raymeter.storage.run_store import RunStore

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
