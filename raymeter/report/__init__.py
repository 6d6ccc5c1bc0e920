"""Result -> files, in the layout that users of Privacy Meter know; WRITERS lists them in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from raymeter.report.console import console_table, verdict
from raymeter.report.curves import average_lines, draw, target_lines
from raymeter.report.files import (
    File,
    write_averages,
    write_metrics,
    write_records,
    write_targets,
    write_timings,
)
from raymeter.schema import AuditResult

__all__ = ["WRITERS", "console_table", "verdict", "write_report"]


def write_pictures(result: AuditResult) -> Iterator[File]:
    """exp/ROC_<i>.png and ROC_log_<i>.png per target, ROC_average.png and ROC_log_average.png."""
    first = result.attacks[0]
    for position, target in enumerate(first.targets):
        lines = target_lines(result.attacks, position)
        title = f"Attacks on model {target.target}"
        yield f"exp/ROC_{position}.png", draw(lines, title, target.non_members, log=False)
        yield f"exp/ROC_log_{position}.png", draw(lines, title, target.non_members, log=True)
    lines = average_lines(result.attacks)
    count = len(first.targets)
    title = f"Mean over {count} target models, band: ± 1 sd" if count > 1 else f"Model {first.targets[0].target}"
    non_members = min(target.non_members for target in first.targets)
    yield "ROC_average.png", draw(lines, title, non_members, log=False)
    yield "ROC_log_average.png", draw(lines, title, non_members, log=True)


# metrics.json comes last: where it is, the report is complete.
WRITERS: tuple[Callable[[AuditResult], Iterator[File]], ...] = (
    write_pictures,
    write_targets,
    write_records,
    write_averages,
    write_timings,
    write_metrics,
)


def write_report(
    result: AuditResult,
    write: Callable[[str, bytes], None],
    writers: tuple[Callable[[AuditResult], Iterator[File]], ...] = WRITERS,
) -> None:
    """Hand every file of the report, as bytes under its path, to `write`."""
    for writer in writers:
        for path, data in writer(result):
            write(path, data)
