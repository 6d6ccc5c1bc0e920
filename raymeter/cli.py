"""The `raymeter` command: one verb per module, exit codes and one-line errors for all of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from raymeter import __version__
from raymeter.errors import RaymeterError, RunError


def main(argv: Sequence[str] | None = None) -> int:
    """`raymeter VERB ...`; the verbs are loaded only when they are used."""
    parser = argparse.ArgumentParser(prog="raymeter", description="Audit how much a model leaks about its records.")
    parser.add_argument("--version", action="version", version=f"raymeter {__version__}")
    parser.add_argument("verb", choices=["audit"], help="audit: run a whole audit from a YAML file")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="see raymeter VERB --help")
    options = parser.parse_args(argv)
    from raymeter import audit

    return int(audit.main(options.arguments))


def guarded(command: Callable[[], int]) -> int:
    """Run a command: 0 done, 2 configuration or input error, 1 anything else; deliberate errors take one line."""
    try:
        return command()
    except RaymeterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, RunError) else 2
    except KeyboardInterrupt:
        print("interrupted; finished models are kept, start the same command again to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
