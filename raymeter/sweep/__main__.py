"""The door of `python -m raymeter.sweep`; what it opens is in `raymeter.cli.sweep`."""

import sys

from raymeter.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["sweep", *sys.argv[1:]], typed="python -m raymeter.sweep"))
