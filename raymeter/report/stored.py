"""A finished report, read back: its figures, its records, its scores."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool
from pyarrow import parquet

from raymeter.analysis.comparison import Outcome
from raymeter.analysis.doubts import UNSETTLED
from raymeter.errors import DataError
from raymeter.report.hashes import ReportFiles
from raymeter.schema.array_files import arrays_in
from raymeter.schema.ids import as_ids
from raymeter.schema.scores import Scores
from raymeter.storage.addresses import inside
from raymeter.storage.run_store import RunStore


def read_outcome(place: str) -> Outcome:
    """A finished report, in a run directory or by itself.

    Raises:
        DataError: There is none, or it is not complete.
    """
    for path in (place, inside(place, "report")):
        files = ReportFiles(RunStore.at(path))
        content = files.read_json("metrics.json")
        if content is not None:
            scores, records = report_scores(files), records_table(files)
            dataset = content.get("provenance", {}).get("dataset")
            return Outcome(
                name=files.name,
                attacks=content["attacks"],
                scores=scores,
                data=None if dataset is None else (dataset["name"], dataset["sha256"]),
                at_risk=_at_risk(records),
                places=_places(records),
                doubts=tuple(content.get("doubts", ())) if content.get("finding") in UNSETTLED else (),
                main=content.get("main_attack") or content.get("groups", {}).get("attack", ""),
            )
    raise DataError(f"{place} has no finished report (metrics.json); run the audit to its end, or check the path")


def _at_risk(records: pa.Table) -> Bool[np.ndarray, " examples"] | None:
    if "at_risk" not in records.column_names:
        return None
    if "p_value" in records.column_names and len(records) == records.column("p_value").null_count:
        return None  # nobody could be named
    named: Bool[np.ndarray, " examples"] = records.column("at_risk").fill_null(False).to_numpy().astype(bool)
    return named


def _places(records: pa.Table) -> tuple[np.ndarray, np.ndarray] | None:
    """Row in the dataset and label of each record, where the report has them."""
    if not {"row", "label"} <= set(records.column_names):
        return None
    return records.column("row").to_numpy(), records.column("label").to_numpy()


def report_scores(files: ReportFiles) -> dict[str, Scores]:
    """Scores of all attacks from the files of a report: exp/attack_result_<model>.npz and records.parquet.

    Raises:
        DataError: A file is missing or damaged.
    """
    content = files.read_json("metrics.json") or {}
    attacks: Mapping[str, Any] = content.get("attacks", {})
    if not attacks:
        raise DataError(f"{files.name} is not a complete report; write it again")
    ids = as_ids(records_table(files).column("id").to_numpy(), f"{files.name}/records.parquet: id")
    targets = np.array([target["target"] for target in next(iter(attacks.values()))["targets"]], dtype=np.int64)
    columns: dict[str, list[np.ndarray]] = {label: [] for label in attacks}
    member = []
    for target in targets:
        data = files.read(f"exp/attack_result_{target}.npz")
        if data is None:
            raise DataError(f"{files.name}/exp/attack_result_{target}.npz is missing; write the report again")
        try:
            arrays = arrays_in(data)
            member.append(arrays["memberships"])
            for label, scores in columns.items():
                scores.append(arrays[f"{label}_scores"])
        except (ValueError, KeyError):
            raise DataError(f"{files.name}/exp/attack_result_{target}.npz is damaged; write the report again") from None
    mask = np.stack(member, axis=1)
    settings = {label: attacks[label].get("settings") or {} for label in columns}
    return {
        label: Scores(label, np.stack(scores, axis=1), mask, ids, targets, settings[label])
        for label, scores in columns.items()
    }


def records_table(files: ReportFiles) -> pa.Table:
    """Who the records of a report are: id, and of row, label, at_risk and p_value those that it has.

    Raises:
        DataError: records.parquet is missing or damaged.
    """
    data = files.read("records.parquet")
    if data is None:
        raise DataError(f"{files.name} is not a complete report; write it again")
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        names = [name for name in ("id", "row", "label", "at_risk", "p_value") if name in file.schema_arrow.names]
        return file.read(names)
    except (OSError, pa.ArrowException):
        raise DataError(f"{files.name}/records.parquet is damaged; write the report again") from None
