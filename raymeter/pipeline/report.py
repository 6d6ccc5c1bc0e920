"""`raymeter report DIR`: the page of a finished report again, from what is stored; no Ray, no models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raymeter.analysis.doubts import UNSETTLED
from raymeter.errors import DataError
from raymeter.report.hashes import ReportFiles
from raymeter.report.page.build import index_page
from raymeter.storage.addresses import inside
from raymeter.storage.run_store import RunStore


@dataclass(frozen=True)
class RenewedPage:
    """The name of a page that was written, `attacks` of the metrics.json that it shows, and why it is inconclusive."""

    place: str
    attacks: Mapping[str, Any]
    doubts: tuple[str, ...] = ()


def renew_page(place: str) -> RenewedPage:
    """Write index.html of a finished report again.

    Args:
        place: A run directory with a report, a report's own directory, or the address of one.

    Raises:
        DataError: There is no finished report.
    """
    for path in (place, inside(place, "report")):
        files = ReportFiles(RunStore.at(path))
        metrics, data = files.read_json("metrics.json"), files.read_json("page.json")
        if metrics is None:
            continue
        if data is None:
            raise DataError(f"{files.name} has no page.json, since an older version wrote it; run the audit again")
        if not metrics.get("attacks"):
            raise DataError(f"{files.name}/metrics.json names no attack; run the audit again")
        page = index_page(metrics, data, files.read_json("timeline.json") or {})
        files.replace("index.html", page.encode())
        doubts = metrics.get("doubts", ()) if metrics.get("finding") in UNSETTLED else ()
        return RenewedPage(f"{files.name}/index.html", metrics["attacks"], tuple(doubts))
    raise DataError(f"{place} has no finished report (metrics.json); run the audit to its end")
