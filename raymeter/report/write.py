"""Result -> files, in the layout that users of Privacy Meter know; WRITERS lists them in order."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping

from raymeter.report.data_files import (
    File,
    write_averages,
    write_groups,
    write_metrics,
    write_power,
    write_records,
    write_targets,
    write_timeline,
    write_timings,
)
from raymeter.report.hashes import with_hashes
from raymeter.report.page.build import write_page
from raymeter.report.power_picture import write_power_picture
from raymeter.report.roc_pictures import write_pictures
from raymeter.schema.results import AuditResult

# In this order. metrics comes last: where metrics.json is, the report is complete.
WRITERS: Mapping[str, Callable[[AuditResult], Iterator[File]]] = {
    "pictures": write_pictures,
    "targets": write_targets,
    "records": write_records,
    "averages": write_averages,
    "power": write_power,
    "power_picture": write_power_picture,
    "groups": write_groups,
    "timings": write_timings,
    "timeline": write_timeline,
    "page": write_page,
    "metrics": write_metrics,
}


def write_report(
    result: AuditResult,
    write: Callable[[str, bytes | mmap.mmap], None],
    writers: Mapping[str, Callable[[AuditResult], Iterator[File]]] = WRITERS,
) -> None:
    """Hand every file of the report to `write`, one at a time, metrics.json last and their hashes before it.

    Args:
        result: At least one attack; all attacks on the same records and targets.
        write: Takes a path relative to the report directory, with `/` between its parts, and the bytes, which of
            large files are mapped.
            What it raises ends the report.
        writers: Which files, in which order.

    Raises:
        TypeError: Provenance or settings hold a value that JSON does not know.
        SignalError: Scores from which no ROC curve can be made, see `roc_curve`.
    """
    files = (file for writer in writers.values() for file in writer(result))
    for path, data in with_hashes(files, last="metrics.json"):
        write(path, data)
