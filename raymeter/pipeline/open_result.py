"""A result that somebody names on the command line, opened: a run directory, a report or a table of scores; no Ray."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from raymeter.analysis.differences.walk import Side
from raymeter.analysis.outside_results import POSSIBLE
from raymeter.attacks import Attack
from raymeter.config.attack_list import on_signals_alone, parse_attacks
from raymeter.errors import DataError
from raymeter.formats.tables import read_scores
from raymeter.report.hashes import ReportFiles
from raymeter.report.stored import report_scores
from raymeter.signals.stored import load_signals
from raymeter.storage.model_store import ModelStore
from raymeter.storage.run_store import IDENTITY, RunStore

WITHOUT_SETTINGS = ("loss", "rmia", "lira", "lira_offline", "base")  # walked where neither result has settings

WAY_OUT = "run the audit again, models are reused"


def load_side(path: Path, name: str) -> Side:
    """A result from whatever the path is.

    Raises:
        DataError: It is none of the things that can be compared.
    """
    if path.is_file():
        table = read_scores(path, common=True)
        return Side(name, scores={"score": replace(table.scores, ids=table.names)})
    store = RunStore.at(str(path))
    if store.read("signals/index.json") is not None:
        return _run(store, name)
    report = ReportFiles(store)
    if (metrics := report.read_json("metrics.json")) is not None:
        provenance = metrics.get("provenance", {})
        return Side(name, scores=report_scores(report), facts={"data of the report": _data(provenance.get("dataset"))})
    raise DataError(f"{path} is not a run directory, a report or a table of scores; check the path")


def _run(store: RunStore, name: str) -> Side:
    stored, identity = load_signals(store), store.read_sealed(IDENTITY, WAY_OUT) or {}
    imported = identity.get("imported")
    facts: dict[str, Any] = {
        "data": _data(identity.get("data")),
        "views": stored.signals.design.values.shape[2],
    }
    if imported is None:
        facts |= {"batch_norm": "eval", "kind": "logit_gap", "format": "raymeter", "weights": _weights(store)}
        return Side(name, stored.signals, _audited(stored.config), facts=facts)
    facts |= {key: imported[key] for key in ("batch_norm", "kind", "format") if key in imported}
    return Side(name, stored.signals, facts=facts)


def _data(dataset: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Name and hash, where they are known."""
    return None if dataset is None else (dataset.get("dataset") or dataset["name"], dataset["sha256"])


def _audited(config: Mapping[str, Any]) -> dict[str, Attack]:
    """The attacks of an audit that can run on its stored signals."""
    entries = on_signals_alone(config["audit"]["attacks"])
    return parse_attacks(entries) if entries else {}


def _weights(store: RunStore) -> list[str]:
    names = [name for name in store.list("models") if name.startswith("model_") and name.endswith(".json")]
    models = ModelStore(store)
    indices = [int(name[6:-5]) for name in names if name[6:-5].isdigit()]
    records = [models.read_marker(index)[0] for index in sorted(indices)]
    return [record.sha256 for record in records if record is not None]


def with_attacks(a: Side, b: Side) -> tuple[Side, Side]:
    """Imported signals are attacked as the other result was; where neither was, as is usual."""
    usual = {label: POSSIBLE[label] for label in WITHOUT_SETTINGS}
    known = a.attacks or b.attacks or usual
    return replace(a, attacks=a.attacks or known), replace(b, attacks=b.attacks or known)
