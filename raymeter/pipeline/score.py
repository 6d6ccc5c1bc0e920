"""What `raymeter score` writes: a report beside other results, never in their place without a word; no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import raymeter
from raymeter.errors import StoreError

if TYPE_CHECKING:
    from raymeter.analysis.outside_results import Assessment
    from raymeter.storage.run_store import RunStore


MARKER = "score.json"


def _attacks(text: str | None, default: Any) -> Any:
    """The attacks asked for, by label; None means all that are possible."""
    from raymeter.config.load import build_config
    from raymeter.config.yaml_files import parse_yaml

    entries = default if text is None else parse_yaml(text, "--attacks")
    if entries is None:
        return None
    entries = [entries] if isinstance(entries, str) else entries
    return build_config({"run": {"log_dir": "."}, "audit": {"attacks": entries}}).attacks


def claim(store: RunStore, about: Mapping[str, Any], overwrite: bool) -> list[str]:
    """Refuse to replace other results, unless that was asked for; a line where any are replaced.

    Raises:
        StoreError: Names what is there, and the ways out.
    """
    if store.read("metrics.json") is None:
        return []
    there = store.read_json(MARKER)
    if there is not None and {**there, "source": ""} == {**about, "source": ""}:
        return [f"{store.name} held the same results, which are replaced"]
    whose = "a report that this command did not write" if there is None else f"the results of {there.get('source')}"
    if not overwrite:
        raise StoreError(f"{store.name} holds {whose}; choose another --out, or add --overwrite to replace them")
    return [f"{store.name} held {whose}, which are replaced"]


def write(assessment: Assessment, about: Mapping[str, Any], store: RunStore) -> None:
    """The report, its marker before metrics.json, which says that all is there."""
    from raymeter.report.write import WRITERS, write_report

    provenance = {
        "raymeter": raymeter.__version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "score": dict(about),
        "notes": list(assessment.notes),
    }
    store.delete("metrics.json")
    store.write_json(MARKER, about)
    writers = {name: writer for name, writer in WRITERS.items() if name != "timings"}
    write_report(replace(assessment.result, provenance=provenance), store.write, writers)
