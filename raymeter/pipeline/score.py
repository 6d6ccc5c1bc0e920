"""`raymeter score`: scores or signals that were made elsewhere -> the full statistics and report; no Ray.

A report goes next to other results, never in their place without a word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeAlias

import raymeter
from raymeter.analysis.outside_results import Assessment, assess_scores, assess_signals
from raymeter.config.attack_list import on_signals_alone
from raymeter.config.load import build_config
from raymeter.config.yaml_files import parse_yaml
from raymeter.errors import StoreError
from raymeter.formats import Imported, arrays
from raymeter.formats.tables import about_names, read_scores
from raymeter.pipeline.extra_files import ExtraFiles
from raymeter.report.write import WRITERS, write_report
from raymeter.schema.dataset import fingerprint_arrays
from raymeter.schema.results import AuditResult
from raymeter.signals.stored import load_signals
from raymeter.storage.run_lock import locked
from raymeter.storage.run_store import RunStore

MARKER = "score.json"


@dataclass(frozen=True)
class ScoresFile:
    """A table of scores; the flags are those of `read_scores`."""

    path: Path
    lower_means_member: bool = False
    common_records: bool = False


@dataclass(frozen=True)
class SignalsFile:
    """Signals of one's own with what was added to them; `attacks` is YAML, None for all that are possible."""

    path: Path
    extras: ExtraFiles
    attacks: str | None = None


@dataclass(frozen=True)
class FinishedRun:
    """A run directory with signals; `attacks` is YAML, None for those of the audit."""

    path: Path
    attacks: str | None = None


Source: TypeAlias = ScoresFile | SignalsFile | FinishedRun


@dataclass(frozen=True)
class Judged:
    """A written report: its result, what a reader must know of it, and the name of its directory."""

    result: AuditResult
    notes: tuple[str, ...]
    place: str


@dataclass(frozen=True)
class _Opened:
    """A source that was read: what its result is of (score.json), and the work that makes it."""

    about: Mapping[str, Any]
    assess: Callable[[], Assessment]


def score(source: Source, *, out: str | None, overwrite: bool, seed: int | None) -> Judged:
    """Read, judge and write; what must not be replaced is known before the work.

    Args:
        source: What is judged.
        out: Directory or address of the report; by default `report` in a run directory, `<name>-report` next to a file.
        overwrite: Replace other results there.
        seed: Of shuffles and bootstraps; by default that of the run, or 0.

    Raises:
        StoreError: Other results are in `out`, or another command writes there at present.
        DataError: The source is not what it is said to be.
        SignalError: An attack that was asked for cannot run, or none can.
    """
    match source:
        case ScoresFile():
            opened = _open_table(source, seed or 0)
        case SignalsFile():
            opened = _open_signals(arrays.read(source.path, source.extras.load()), source, None, seed or 0)
        case FinishedRun():
            opened = _open_run(source, seed)
    path = source.path
    default = path / "report" if path.is_dir() else path.with_name(f"{path.stem}-report")
    store = RunStore.at(out or str(default))
    said: list[str] = []
    with locked(RunStore.at(str(path)) if out is None and path.is_dir() else store, said.append):
        replaced = claim(store, opened.about, overwrite)
        assessment = opened.assess()
        write(assessment, opened.about, store)
    return Judged(assessment.result, (*said, *replaced, *assessment.notes), store.name)


def _open_table(source: ScoresFile, seed: int) -> _Opened:
    flags = {"lower_means_member": source.lower_means_member, "common_records": source.common_records}
    table = read_scores(source.path, lower_means_member=source.lower_means_member, common=source.common_records)
    about = {"source": str(source.path), "sha256": hashlib.sha256(source.path.read_bytes()).hexdigest(), **flags}

    def assess() -> Assessment:
        assessment = assess_scores(table.scores, table.groups, seed)
        result = replace(assessment.result, records={**assessment.result.records, "id": table.names})
        dropped = [f"{table.dropped} records that not every target has are left out"] if table.dropped else []
        return replace(assessment, result=result, notes=(*dropped, *assessment.notes))

    return _Opened({**about, **about_names(table), "seed": seed}, assess)


def _open_run(source: FinishedRun, seed: int | None) -> _Opened:
    stored = load_signals(RunStore.at(str(source.path)))
    entries = stored.config.get("audit", {}).get("attacks", [])
    default = None if "imported" in stored.config else on_signals_alone(entries)
    if seed is None:
        seed = stored.config.get("run", {}).get("random_seed", 0)
    return _open_signals(Imported(stored.signals, {}), source, default, seed)


def _open_signals(
    imported: Imported, source: SignalsFile | FinishedRun, default: list[Any] | None, seed: int
) -> _Opened:
    """Signals to attack; `default` holds entries of audit.attacks where none are asked for, None for all possible."""
    matrix = imported.signals.audit["logit_gap"]
    entries = default if source.attacks is None else parse_yaml(source.attacks, "--attacks")
    if entries is not None:
        entries = [entries] if isinstance(entries, str) else entries
    attacks = (
        None if entries is None else build_config({"run": {"log_dir": "."}, "audit": {"attacks": entries}}).attacks
    )
    about = {"source": str(source.path), "sha256": fingerprint_arrays(matrix.values, matrix.member, matrix.ids)}

    def assess() -> Assessment:
        assessment = assess_signals(imported.signals, attacks, seed)
        return replace(assessment, notes=(*imported.notes, *assessment.notes))

    return _Opened({**about, **imported.about, "attacks": source.attacks, "seed": seed}, assess)


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
