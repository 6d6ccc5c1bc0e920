"""What a sweep leaves behind: lines in the terminal, results.parquet, best.yaml, summary.json and pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator

import pyarrow as pa
import yaml
from pyarrow import parquet

from raymeter.report.data_files import File, plain
from raymeter.schema.interval_text import interval_text
from raymeter.sweep.evaluate import RESULTS
from raymeter.sweep.limits import LIMITS
from raymeter.sweep.pictures import count_targets, keys, show, write_best_roc, write_heat_maps, write_metric_picture
from raymeter.sweep.result import SweepResult


def sweep_lines(result: SweepResult) -> list[str]:
    """The result in the terminal: the winner, its honest and its optimistic figure, and the defaults next to it."""
    failed = sum(row["error"] is not None for row in result.rows)
    settings = ", ".join(f"{key} {show(result.best[key])}" for key in keys([result.best]))
    name, report, selection, limits = result.best_attack["name"], result.report, result.selection, _limits(result)
    defaults = f"{name} with its defaults" + (f" and the same {limits}" if limits else "")
    lines = [
        f"{len(result.rows)} different settings tried on {count_targets(len(selection.targets))}"
        + (f", {failed} of them failed (see error in results.parquet)" if failed else ""),
        *([f"{len(result.passed_over)} that ranked above failed on the report targets"] if result.passed_over else []),
        f"Best: {settings}",
        f"{result.metric} on {count_targets(len(report.targets))} that it was not chosen on: "
        f"{interval_text(report.winner, 4)}",
        f"{result.metric} where it was chosen, which is optimistic: {interval_text(selection.winner, 4)} "
        f"(difference {selection.winner.estimate - report.winner.estimate:+.4f})",
    ]
    if not result.resolvable:
        lines.append(f"{result.metric} is not resolvable: the rate allows less than one false positive")
    if report.default is None or report.gain is None:
        return [*lines, f"{defaults}: {report.error}"]
    lines.append(f"{defaults}: {interval_text(report.default, 4)}; gained {interval_text(report.gain, 4, signed=True)}")
    if selection.gain is not None and result.optimism is not None:
        lines.append(
            f"Gained where it was chosen: {interval_text(selection.gain, 4, signed=True)}; "
            f"choosing flattered it by {result.optimism:+.4f}"
        )
    return lines


def write_results(result: SweepResult) -> Iterator[File]:
    """results.parquet: one row per setting; a setting that an attack does not have is null."""
    names = [*keys(result.rows), *RESULTS]
    columns = {}
    for name in names:
        values = [row.get(name) for row in result.rows]
        kinds = {type(value) for value in values if value is not None}
        if len(kinds) > 1 and not kinds <= {int, float}:
            values = [None if value is None else str(value) for value in values]
        elif kinds == {int, float}:
            values = [None if value is None else float(value) for value in values]
        columns[name] = pa.array(values, pa.string() if name == "error" else None)
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns), buffer, compression="zstd")
    yield "results.parquet", buffer.getvalue()


def write_best(result: SweepResult) -> Iterator[File]:
    """best.yaml: the audit's own configuration with the winner as its attack, and a report of its own.

    References, views and population stay the audit's: models and signals are reused as they are.
    """
    config = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in result.audit_config.items()
    }
    attacks = [{"label": "best", **result.best_attack}]
    config["audit"] = {**config.get("audit", {}), "attacks": attacks, "report_log": f"sweep/{result.name}/report"}
    limits = _limits(result)
    head = (
        f"# Winner of the sweep {result.name!r} by {result.metric}: "
        f"{interval_text(result.report.winner, 4)} on targets that it was not chosen on.\n"
        "# An audit with it reports on all targets, also those that it was chosen on"
        + (f", and without the winner's limits ({limits}).\n" if limits else ".\n")
    )
    yield "best.yaml", (head + yaml.safe_dump(config, sort_keys=False)).encode()


def write_summary(result: SweepResult) -> Iterator[File]:
    """summary.json: the winner, its figures with their intervals, and which targets were used for what."""
    content = {
        "metric": result.metric,
        "resolvable": result.resolvable,
        "settings": len(result.rows),
        "failed": sum(row["error"] is not None for row in result.rows),
        "passed_over": result.passed_over,
        "best": {key: result.best[key] for key in keys([result.best])},
        "attack": result.best_attack,
        "honest": result.report.winner,
        "optimistic": result.selection.winner,
        "difference": result.selection.winner.estimate - result.report.winner.estimate,
        "default": result.report.default,
        "gain": result.report.gain,
        "selection_default": result.selection.default,
        "selection_gain": result.selection.gain,
        "optimism": result.optimism,
        "selection_targets": result.selection.targets,
        "report_targets": result.report.targets,
    }
    yield "summary.json", (json.dumps(plain(content), indent=2, allow_nan=False) + "\n").encode()


SWEEP_WRITERS: tuple[Callable[[SweepResult], Iterator[File]], ...] = (
    write_results,
    write_metric_picture,
    write_heat_maps,
    write_best_roc,
    write_best,
    write_summary,
)


def _limits(result: SweepResult) -> str:
    return ", ".join(f"{key} {result.best[key]}" for key in LIMITS if key in result.best)
