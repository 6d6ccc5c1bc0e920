"""The rows of a sweep's trials: computed from a block of settings, stored, and read back where they are whole."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raymeter.errors import ConfigError, SignalError
from raymeter.schema.signals import Signals
from raymeter.storage.run_store import RunStore
from raymeter.storage.seals import unsealed
from raymeter.sweep.evaluate import RESULTS, evaluate
from raymeter.sweep.metric import Metric
from raymeter.sweep.space import Setting, Subspace

WORST = 0.0  # what counts for a setting that failed


@dataclass(frozen=True)
class SweepWork:
    """What every trial of a sweep needs to know besides the signals.

    Args:
        store: Location of the run directory.
        path: Of the sweep in it.
        selection: Positions of the targets that settings are ranked on.
        blocks: Settings of each trial; None where a searcher proposes them one by one.
        spaces: What a searcher proposes from.
        samples: How many it may propose.
        asha: Whether poor settings are given up after few records.
        of: Hash of what decides the trials, which their rows are stored with.
    """

    store: str
    path: str
    metric: str
    selection: np.ndarray
    seed: int
    blocks: Sequence[Sequence[Setting]] | None
    spaces: Sequence[Subspace]
    samples: int
    asha: bool
    of: str

    @property
    def trials(self) -> int:
        """How many trials there are: one for each block, or for each proposal."""
        return self.samples if self.blocks is None else len(self.blocks)

    @property
    def has_memory(self) -> bool:
        """Whether what is tried next depends on what came before."""
        return self.blocks is None or self.asha


def computed_rows(work: SweepWork, config: Mapping[str, Any], signals: Signals, records: int) -> list[dict[str, Any]]:
    """The rows of a trial: of its block, or of the setting that was proposed to it."""
    if work.blocks is not None:
        return [_row(setting, signals, work, records) for setting in work.blocks[config["block"]]]
    space = work.spaces[int(config["entry"])]
    values = {key: config[f"{config['entry']}:{key}"] for key in space.choices}
    try:
        return [_row(space.setting(values), signals, work, records)]
    except ConfigError as error:  # a combination that the attack refuses
        failed = {"metric": None, "sd": None, "records": records, "error": str(error), "seconds": 0.0}
        return [{"attack": space.attack, **values, **failed}]


def _row(setting: Setting, signals: Signals, work: SweepWork, records: int) -> dict[str, Any]:
    """What came of one setting; an error is recorded and ends nothing."""
    start = time.perf_counter()
    limits = replace(setting.limits, records=records)
    row: dict[str, Any] = {**setting.values, "metric": None, "sd": None, "records": records, "error": None}
    try:
        metrics = evaluate(setting.attack, signals, work.selection, limits, Metric(work.metric), work.seed)
        row |= {"metric": float(metrics.mean()), "sd": float(metrics.std(ddof=1)) if len(metrics) > 1 else 0.0}
    except SignalError as error:
        row["error"] = str(error)
    return {**row, "seconds": time.perf_counter() - start}


def records_of(signals: Signals) -> int:
    """How many records are audited."""
    return len(signals.audit["log_prob"].values)


def best_metric(rows: Sequence[Mapping[str, Any]]) -> float:
    """The largest metric of some rows; WORST where there is none."""
    return max((row["metric"] for row in rows if row["metric"] is not None), default=WORST)


def block_path(work: SweepWork, name: int | str) -> str:
    """Where the rows of a trial lie in the run directory."""
    return f"{work.path}/blocks/{name}.json"


def name_of_proposal(config: Mapping[str, Any]) -> str:
    """What the rows of a proposed setting are called, so that they are found when it is proposed again."""
    text = json.dumps(dict(config), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def store_rows(store: RunStore, work: SweepWork, name: int | str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of a trial, with a hash of them and of what decides them."""
    store.write_sealed(block_path(work, name), {"of": work.of, "rows": [dict(row) for row in rows]})


def stored_rows(store: RunStore, work: SweepWork, name: int | str) -> list[dict[str, Any]] | None:
    """The stored rows of a block; None where there are none, or where they are not what the block would write.

    Those of earlier versions are a list, without a hash.
    """
    path = block_path(work, name)
    data = store.read(path) or b""
    try:
        if data.lstrip().startswith(b"["):
            rows = json.loads(data)
        else:
            block, has_seal = unsealed(path, data)
            rows = block.get("rows") if has_seal and block.get("of") == work.of else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(rows, list) or not rows or not all(_is_row(row) for row in rows):
        return None
    if work.blocks is not None:
        mine = [dict(setting.values) for setting in work.blocks[int(name)]]
        if [{key: value for key, value in row.items() if key not in RESULTS} for row in rows] != mine:
            return None
    return rows


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not {"attack", *RESULTS} <= set(row) or type(row["records"]) is not int:
        return False
    return isinstance(row["error"], str) if row["metric"] is None else isinstance(row["metric"], float)
