"""`raymeter explain-difference A B`: why two results differ; run directories, reports or tables of scores; no Ray."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from raymeter.console import guarded
from raymeter.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from raymeter.attacks import Attack
    from raymeter.differences import Difference
    from raymeter.schema import Scores
    from raymeter.store import RunStore
    from raymeter.walk import Side

WITHOUT_SETTINGS = ("loss", "rmia", "lira", "lira_offline", "base")  # walked where neither result has settings


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="raymeter explain-difference",
        description="Say why two results differ: records, memberships, references, signals, settings, direction.",
    )
    what = "a run directory (audited or imported), a report that raymeter score wrote, or a table of scores"
    parser.add_argument("a", metavar="A", help=what)
    parser.add_argument("b", metavar="B", help="another")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args(argv)
    return guarded(lambda: explain(options))


def explain(options: argparse.Namespace) -> int:
    """Read both, compare them, print."""
    from raymeter.differences import explain_difference
    from raymeter.report.files import plain

    a, b = with_attacks(load_side(Path(options.a), "A"), load_side(Path(options.b), "B"))
    difference = explain_difference(a, b)
    if options.json:
        print(json.dumps(plain(difference), indent=2, allow_nan=False))
        return 0
    print(f"A: {options.a}\nB: {options.b}\n")
    for line in lines(difference):
        print(line)
    return 0


def lines(difference: Difference) -> Iterator[str]:
    """What differs first, then what does not, then the walks."""
    for title, differs in (("Different:", True), ("Alike, or not known:", False)):
        found = [finding.text for finding in difference.findings if finding.differs == differs]
        if found:
            yield title
            yield from (f"  {text}" for text in found)
    for label, steps in difference.walks.items():
        yield f"\n{label}: AUC on the way from A to B (the change is what each thing adds in this order)"
        for step in steps:
            figure = "cannot run" if step.auc is None else f"{step.auc.estimate:.4f}"
            change = "" if step.change is None else f"  {step.change:+.4f}"
            yield f"  {step.what:<26} {figure}{change}"
        if len(steps) == 1:
            yield "  nothing that this attack uses differs"
    for label, matches in difference.matches.items():
        yield f"\n{label}: nearest attacks"
        yield from (f"  {match.correlation:+.4f}  {match.name}" for match in matches)


def load_side(path: Path, name: str) -> Side:
    """A result from whatever the path is.

    Raises:
        DataError: It is none of the things that can be compared.
    """
    from raymeter.formats.tables import read_scores
    from raymeter.store import RunStore
    from raymeter.walk import Side

    if path.is_file():
        table = read_scores(path, common=True)
        return Side(name, scores={"score": replace(table.scores, ids=_numbers(table.names))})
    store = RunStore.at(str(path))
    if store.read("signals/index.json") is not None:
        return _run(store, name)
    if store.read("metrics.json") is not None:
        provenance = (store.read_json("metrics.json") or {}).get("provenance", {})
        return Side(name, scores=report_scores(store), facts={"data of the report": _data(provenance.get("dataset"))})
    raise DataError(f"{path} is no run directory, no report and no table of scores; check the path")


def _run(store: RunStore, name: str) -> Side:
    from raymeter.signalstore import load_signals
    from raymeter.walk import Side

    stored, identity = load_signals(store), store.read_json("run.json") or {}
    imported = identity.get("imported")
    facts: dict[str, Any] = {
        "data": _data(identity.get("data")),
        "views": next(iter(stored.signals.audit.values())).values.shape[2],
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
    """The attacks of an audit; QMIA's regressors are not kept with the signals."""
    from raymeter.config import build_config

    entries = [entry for entry in config["audit"]["attacks"] if entry.get("name") != "qmia"]
    return dict(build_config({"run": {"log_dir": "."}, "audit": {"attacks": entries}}).attacks) if entries else {}


def _weights(store: RunStore) -> list[str]:
    names = [name for name in store.list("models") if name.startswith("model_") and name.endswith(".json")]
    records = [store.read_json(f"models/{name}") or {} for name in names]
    return [record["sha256"] for record in records if "sha256" in record]


def with_attacks(a: Side, b: Side) -> tuple[Side, Side]:
    """Imported signals are attacked as the other result was; where neither was, as is usual."""
    from raymeter.assess import POSSIBLE

    usual = {label: POSSIBLE[label] for label in WITHOUT_SETTINGS}
    known = a.attacks or b.attacks or usual
    return replace(a, attacks=a.attacks or known), replace(b, attacks=b.attacks or known)


def report_scores(store: RunStore) -> dict[str, Scores]:
    """Scores of all attacks from the files of a report: exp/attack_result_<model>.npz and records.parquet."""
    from raymeter.schema import Scores

    content = store.read_json("metrics.json") or {}
    attacks: Mapping[str, Any] = content.get("attacks", {})
    if not attacks:
        raise DataError(f"{store.name} is no complete report; write it again")
    ids = _numbers(records_table(store).column("id").to_numpy())
    targets = np.array([target["target"] for target in next(iter(attacks.values()))["targets"]], dtype=np.int64)
    columns: dict[str, list[np.ndarray]] = {label: [] for label in attacks}
    member = []
    for target in targets:
        data = store.read(f"exp/attack_result_{target}.npz")
        if data is None:
            raise DataError(f"{store.name}/exp/attack_result_{target}.npz is missing; write the report again")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                member.append(arrays["memberships"])
                for label, found in columns.items():
                    found.append(arrays[f"{label}_scores"])
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
            raise DataError(f"{store.name}/exp/attack_result_{target}.npz is damaged; write the report again") from None
    mask = np.stack(member, axis=1)
    settings = {label: attacks[label].get("settings") or {} for label in columns}
    return {
        label: Scores(label, np.stack(found, axis=1), mask, ids, targets, settings[label])
        for label, found in columns.items()
    }


def records_table(store: RunStore) -> pa.Table:
    """Who the records of a report are: id, and of row, label and at_risk those that it has.

    Raises:
        DataError: records.parquet is missing or damaged.
    """
    import pyarrow as pa
    from pyarrow import parquet

    data = store.read("records.parquet")
    if data is None:
        raise DataError(f"{store.name} is no complete report; write it again")
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        names = [name for name in ("id", "row", "label", "at_risk") if name in file.schema_arrow.names]
        return file.read(names)
    except (OSError, pa.ArrowException):
        raise DataError(f"{store.name}/records.parquet is damaged; write the report again") from None


def _numbers(names: np.ndarray) -> np.ndarray:
    """Ids as numbers; of texts a number that is the same in every file."""
    if names.dtype.kind in "iu":
        return names.astype(np.int64)
    digests = (hashlib.sha256(str(name).encode()).digest()[:8] for name in names)
    return np.array([int.from_bytes(digest, "little") >> 1 for digest in digests], dtype=np.int64)
