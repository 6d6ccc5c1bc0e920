"""`raymeter report DIR`: the page of a finished report again, from what is stored; no Ray, no models."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from raymeter.cli.gate import add_gates, pass_gates
from raymeter.cli.guard import guarded
from raymeter.errors import DataError
from raymeter.report.gate import parse_gates


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="raymeter report", description="Make index.html of a finished report again, and judge gates."
    )
    parser.add_argument("place", metavar="DIR", help="a run directory with a report, or a report's own directory")
    add_gates(parser)
    options = parser.parse_args(argv)
    return guarded(lambda: rerender(options))


def rerender(options: argparse.Namespace) -> int:
    """Read what is stored, write the page, judge.

    Raises:
        DataError: There is no finished report.
    """
    from raymeter.report.page.build import index_page
    from raymeter.storage.addresses import inside
    from raymeter.storage.run_store import RunStore

    gates = parse_gates(options.fail_if)
    for path in (options.place, inside(options.place, "report")):
        store = RunStore.at(path)
        metrics, data = store.read_json("metrics.json"), store.read_json("page.json")
        if metrics is None:
            continue
        if data is None:
            raise DataError(f"{store.name} has no page.json, since an older version wrote it; run the audit again")
        if not metrics.get("attacks"):
            raise DataError(f"{store.name}/metrics.json tells of no attack; run the audit again")
        store.write("index.html", index_page(metrics, data, store.read_json("timeline.json") or {}).encode())
        print(f"Page: {store.name}/index.html")
        return pass_gates(gates, metrics["attacks"])
    raise DataError(f"{options.place} has no finished report (metrics.json); run the audit to its end")
