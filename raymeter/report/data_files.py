"""The report's data files: JSON, CSV, npz, Parquet, log; each as bytes under its path."""

from __future__ import annotations

import csv
import io
import json
import math
import mmap
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from datetime import date
from pathlib import PurePath
from typing import IO, Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from raymeter.report.verdict import finding, inconclusive
from raymeter.schema.results import AttackResult, AuditResult, MeanInterval
from raymeter.stats import roc_curve

File = tuple[str, bytes | mmap.mmap]
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that spreadsheets compute
ROWS_AT_ONCE = 262_144  # of a table too long to be made in memory, which is one of more than MOST_ROWS
MOST_ROWS = 1_000_000


def write_metrics(result: AuditResult) -> Iterator[File]:
    """metrics.json: every figure with its interval, timings in seconds, provenance.

    Strict JSON: what is not a finite number is null. Keys keep the order of the audit (attacks and
    stages as they ran), which is the same in every run of one configuration.

    Raises:
        TypeError: Settings or provenance hold a value that `plain` does not know.
    """
    content = {
        "attacks": plain_attacks(result),
        "comparisons": result.comparisons,
        "power": result.power,
        "main_attack": result.main_attack.name,
        "finding": finding(result),
        "doubts": inconclusive(result),
        "groups": {"attack": result.main_attack.name, **result.groups},
        "blind_baseline": result.blind,
        "overlap_of_the_100_riskiest_records_in_two_halves_of_the_targets": result.top_overlap,
        "timings": result.timings,
        "provenance": result.provenance,
    }
    yield "metrics.json", (json.dumps(plain(content), indent=2, allow_nan=False) + "\n").encode()


def write_records(result: AuditResult) -> Iterator[File]:
    """records.parquet: one row per audited record, columns as in `result.records`; NaN becomes null.

    Raises:
        ArrowInvalid: The columns are not equally long.
    """
    rows = len(result.records["id"])
    if rows <= MOST_ROWS:
        buffer = io.BytesIO()
        parquet.write_table(_table(result, slice(None)), buffer, compression="zstd")
        yield "records.parquet", buffer.getvalue()
        return
    with tempfile.TemporaryFile() as file:
        with parquet.ParquetWriter(file, _table(result, slice(0, 0)).schema, compression="zstd") as writer:
            for start in range(0, rows, ROWS_AT_ONCE):
                writer.write_table(_table(result, slice(start, start + ROWS_AT_ONCE)))
        yield from _mapped("records.parquet", file)


def write_averages(result: AuditResult) -> Iterator[File]:
    """attack_result_average.csv: one row per attack, means over targets; what is not finite stays empty.

    Columns: attack; auc and tpr_at_fpr_<rate>, each followed by its _low, _high and _sd, the rates also
    by _resolvable (True or False); targets.
    """
    text = io.StringIO()
    rates = list(result.attacks[0].tpr_at_fpr)
    header = ["attack", *_named("auc")]
    for rate in rates:
        header += [*_named(f"tpr_at_fpr_{rate}"), f"tpr_at_fpr_{rate}_resolvable"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*header, "targets"])
    for attack in result.attacks:
        row: list[Any] = [cell(attack.name), *_values(attack.auc)]
        for rate in rates:
            row += [*_values(attack.tpr_at_fpr[rate]), attack.resolvable[rate]]
        writer.writerow(plain([*row, attack.auc.targets]))
    yield "attack_result_average.csv", text.getvalue().encode()


def write_targets(result: AuditResult) -> Iterator[File]:
    """exp/attack_result_<model>.npz for each target, readable with `allow_pickle=False`.

    Privacy Meter's keys hold the main attack (`AuditResult.main_attack`): fpr, tpr [points],
    auc, one_tenth_fpr (TPR at 0.1 % FPR), zero_fpr (TPR at 0 % FPR), scores and memberships [examples].
    Every attack, that one too, has the same under `<attack>_<key>`; memberships are common to all.
    Should an attack's name make a key equal to one of Privacy Meter's, the latter is kept.

    Raises:
        SignalError: Scores from which no ROC curve can be made.
    """
    main = result.main_attack
    for position, target in enumerate(main.targets):
        arrays: dict[str, np.ndarray] = {}
        for attack in result.attacks:
            named = _target_arrays(attack, position)
            arrays |= {f"{attack.name}_{key}": value for key, value in named.items() if key != "memberships"}
        arrays |= _target_arrays(main, position)
        if len(main.scores.values) > MOST_ROWS:  # compressing would take minutes and gain little
            with tempfile.TemporaryFile() as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
                yield from _mapped(f"exp/attack_result_{main.targets[position].target}.npz", file)
            continue
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        yield f"exp/attack_result_{target.target}.npz", buffer.getvalue()


def write_power(result: AuditResult) -> Iterator[File]:
    """power.csv: AUC and TPR of every attack with fewer references per target; nothing where there is no curve."""
    if not result.power:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["attack", "references", *_named("auc"), "fpr", *_named("tpr"), "tpr_resolvable"])
    for attack, points in result.power.items():
        for point in points:
            row = [*_values(point.auc), point.fpr, *_values(point.tpr), point.resolvable]
            writer.writerow(plain([cell(attack), point.references, *row]))
    yield "power.csv", text.getvalue().encode()


def write_groups(result: AuditResult) -> Iterator[File]:
    """groups.csv: one row per group of each grouping, under the main attack; what is not defined stays empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    rates = ("auc", "tpr_common", "fpr_common", "tpr_own")
    header = ["grouping", "attack", "group", "records", "members", "non_members", "fpr"]
    writer.writerow([*header, *sum((_named(rate) for rate in rates), []), "own_resolvable", "p_value", "p_value_holm"])
    for grouping, table in result.groups.items():
        for group in table.groups:
            row: list[Any] = [cell(grouping), cell(result.main_attack.name), cell(group.group), group.records]
            row += [group.members, group.non_members, table.fpr]
            for rate in rates:
                mean = getattr(group, rate)
                row += [None] * 4 if mean is None else _values(mean)
            writer.writerow(plain([*row, group.own_resolvable, group.p_value, group.p_value_holm]))
    if result.groups:
        yield "groups.csv", text.getvalue().encode()


def cell(text: str) -> str:
    """Text for a CSV cell that no spreadsheet takes for a formula: an apostrophe before what begins like one.

    Examples:
        >>> [cell(text) for text in ("=1+1", "@SUM(A1)", "-3.5", "a group")]
        ["'=1+1", "'@SUM(A1)", '-3.5', 'a group']
    """
    if not text.startswith(FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text


def write_timeline(result: AuditResult) -> Iterator[File]:
    """timeline.json: seconds of each stage; who trained what, where and when; every attempt and what came of it."""
    if result.timeline:
        stages = [{"stage": stage, "seconds": seconds} for stage, seconds in result.timings.items()]
        content = {"stages": stages, **result.timeline}
        yield "timeline.json", (json.dumps(plain(content), indent=2, allow_nan=False) + "\n").encode()


def write_timings(result: AuditResult) -> Iterator[File]:
    """log_time_analysis.log: one line `<stage>: <seconds> s` per stage, in the order they ran."""
    lines = [f"{stage}: {seconds:.2f} s\n" for stage, seconds in result.timings.items()]
    yield "log_time_analysis.log", "".join(lines).encode()


def plain_attacks(result: AuditResult) -> dict[str, Any]:
    """`attacks` of metrics.json, as plain values."""
    attacks: dict[str, Any] = plain({attack.name: _attack_metrics(attack) for attack in result.attacks})
    return attacks


def _attack_metrics(attack: AttackResult) -> dict[str, Any]:
    rates = {rate: {**asdict(mean), "resolvable": attack.resolvable[rate]} for rate, mean in attack.tpr_at_fpr.items()}
    return {
        "auc": attack.auc,
        "tpr_at_fpr": rates,
        "targets": [{k: v for k, v in asdict(target).items() if k != "foreign"} for target in attack.targets],
        "thresholds": {
            rate: {**asdict(pair), "oracle": {**asdict(pair.oracle), "resolvable": attack.resolvable[rate]}}
            for rate, pair in attack.thresholds.items()
        },
        "pooled_auc_not_calibrated_across_targets": attack.pooled_auc,
        "settings": attack.scores.settings,
    }


def _target_arrays(attack: AttackResult, position: int) -> dict[str, np.ndarray]:
    scores, member = attack.scores.values[:, position], attack.scores.member[:, position]
    fpr, tpr = attack.curves[position] if attack.curves else roc_curve(scores, member)[:2]
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


def _table(result: AuditResult, rows: slice) -> pa.Table:
    return pa.table({name: pa.array(column[rows], from_pandas=True) for name, column in result.records.items()})


def _mapped(path: str, file: IO[bytes]) -> Iterator[File]:
    """A finished file as a map of it, so that it never is in memory as a whole."""
    file.flush()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield path, content


def _named(column: str) -> list[str]:
    return [column, f"{column}_low", f"{column}_high", f"{column}_sd"]


def _values(mean: MeanInterval) -> list[float]:
    return [mean.estimate, mean.low, mean.high, mean.sd]


def plain(value: Any) -> Any:
    """Values that strict JSON knows.

    Dataclasses and mappings become objects, sequences and arrays lists, NumPy scalars numbers, paths
    and dates text, NaN and infinities None. Anything else is returned as it is.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, PurePath | date):
        return str(value)
    return value
