"""The report's data files: JSON, CSV, npz, Parquet, log; each as bytes under its path."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from raymeter.schema import AttackResult, AuditResult
from raymeter.stats import roc_curve

File = tuple[str, bytes]


def write_metrics(result: AuditResult) -> Iterator[File]:
    """metrics.json: every figure with its interval, timings, provenance; strict JSON, NaN as null."""
    content = {
        "attacks": {attack.name: _attack_metrics(attack) for attack in result.attacks},
        "timings": result.timings,
        "provenance": result.provenance,
    }
    yield "metrics.json", (json.dumps(plain(content), indent=2, allow_nan=False) + "\n").encode()


def write_records(result: AuditResult) -> Iterator[File]:
    """records.parquet: one row per audited record."""
    buffer = io.BytesIO()
    parquet.write_table(pa.table(dict(result.records)), buffer, compression="zstd")
    yield "records.parquet", buffer.getvalue()


def write_averages(result: AuditResult) -> Iterator[File]:
    """attack_result_average.csv: one row per attack."""
    text = io.StringIO()
    rates = list(result.attacks[0].tpr_at_fpr)
    suffixes = ("", "_low", "_high", "_sd", "_resolvable")
    header = ["attack", "auc", "auc_low", "auc_high", "auc_sd"]
    header += [f"tpr_at_fpr_{rate}{suffix}" for rate in rates for suffix in suffixes] + ["targets"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for attack in result.attacks:
        row: list[Any] = [attack.name, attack.auc.estimate, attack.auc.low, attack.auc.high, attack.auc.sd]
        for rate in rates:
            mean = attack.tpr_at_fpr[rate]
            row += [mean.estimate, mean.low, mean.high, mean.sd, attack.resolvable[rate]]
        writer.writerow([*row, attack.auc.targets])
    yield "attack_result_average.csv", text.getvalue().encode()


def write_targets(result: AuditResult) -> Iterator[File]:
    """exp/attack_result_<i>.npz: Privacy Meter's keys for the main attack, and every attack under its own name."""
    main = next((attack for attack in result.attacks if attack.name != "loss"), result.attacks[0])
    for position in range(len(main.targets)):
        arrays = _target_arrays(main, position)
        for attack in result.attacks:
            named = _target_arrays(attack, position)
            arrays |= {f"{attack.name}_{key}": value for key, value in named.items() if key != "memberships"}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        yield f"exp/attack_result_{position}.npz", buffer.getvalue()


def write_timings(result: AuditResult) -> Iterator[File]:
    """log_time_analysis.log: seconds of every stage."""
    lines = [f"{stage}: {seconds:.2f} s" for stage, seconds in result.timings.items()]
    yield "log_time_analysis.log", ("\n".join(lines) + "\n").encode()


def _attack_metrics(attack: AttackResult) -> dict[str, Any]:
    rates = {rate: {**asdict(mean), "resolvable": attack.resolvable[rate]} for rate, mean in attack.tpr_at_fpr.items()}
    return {
        "auc": attack.auc,
        "tpr_at_fpr": rates,
        "targets": attack.targets,
        "settings": attack.scores.settings,
    }


def _target_arrays(attack: AttackResult, position: int) -> dict[str, np.ndarray]:
    scores, member = attack.scores.values[:, position], attack.scores.member[:, position]
    fpr, tpr, _ = roc_curve(scores, member)
    target = attack.targets[position]
    rates = target.tpr_at_fpr
    return {
        "fpr": fpr,
        "tpr": tpr,
        "auc": np.array(target.auc.estimate),
        "one_tenth_fpr": np.array(rates["0.001"].estimate if "0.001" in rates else np.nan),
        "zero_fpr": np.array(rates["0"].estimate if "0" in rates else np.nan),
        "scores": scores,
        "memberships": member,
    }


def plain(value: Any) -> Any:
    """Values that strict JSON knows: dataclasses as objects, NumPy scalars as numbers, NaN and infinities as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {key: plain(item) for key, item in asdict(value).items()}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
