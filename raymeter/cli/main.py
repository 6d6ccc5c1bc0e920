"""The `raymeter` command: one verb per module."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from raymeter import __version__
from raymeter.cli.audit import audit_arguments
from raymeter.cli.sweep import sweep_arguments

VERBS = {
    "audit": "run a whole audit from a YAML file",
    "sweep": "try attack settings on a finished audit's signals",
    "score": "judge scores or signals that were made elsewhere",
    "import": "make a run directory of another tool's signals",
    "export": "write a run's signals as another tool's",
    "explain-difference": "say why two results differ",
    "report": "make the page of a finished audit again",
    "compare": "say how much more one audit leaks than another",
    "doctor": "check whether this machine is ready",
}
HOMES = {  # a module each but for these
    "import": ("import_signals", "import_main"),
    "export": ("export_signals", "export_main"),
}
EARLY = {"audit": audit_arguments, "sweep": sweep_arguments}  # what they run takes seconds to load


def main(argv: Sequence[str] | None = None) -> int:
    """`raymeter VERB ...`; the verbs are loaded only when they are used."""
    parser = argparse.ArgumentParser(prog="raymeter", description="Audit how much a model leaks about its records.")
    parser.add_argument("--version", action="version", version=f"raymeter {__version__}")
    parser.add_argument("verb", choices=list(VERBS), help="; ".join(f"{verb}: {text}" for verb, text in VERBS.items()))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="see raymeter VERB --help")
    options = parser.parse_args(argv)
    if options.verb in EARLY:
        EARLY[options.verb](options.arguments)
    module, function = HOMES.get(options.verb, (options.verb.replace("-", "_"), "main"))
    return int(getattr(importlib.import_module(f"raymeter.cli.{module}"), function)(options.arguments))


if __name__ == "__main__":
    sys.exit(main())
