"""The door of `python -m raymeter.audit`; what it opens is in `raymeter.cli.audit`."""

if __name__ == "__main__":
    import sys

    from raymeter.cli.main import main

    sys.exit(main(["audit", *sys.argv[1:]], typed="python -m raymeter.audit"))
