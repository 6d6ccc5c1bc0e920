"""`raymeter compare A B`: two finished reports, held against each other; no Ray."""

from __future__ import annotations

from pathlib import Path

from raymeter.analysis.comparison import RunComparison, compare_outcomes
from raymeter.errors import DataError
from raymeter.report.page.comparison import comparison_page
from raymeter.report.stored import read_outcome


def compare(a: str, b: str) -> RunComparison:
    """B against A; each is a run directory with a report, a report's own directory, or the address of one.

    Raises:
        DataError: There is no finished report, or the two have no attack in common.
    """
    return compare_outcomes(read_outcome(a), read_outcome(b))


def write_comparison_page(comparison: RunComparison, path: Path) -> None:
    """The comparison as a page of its own.

    Raises:
        DataError: It cannot be written.
    """
    try:
        path.write_text(comparison_page(comparison), encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); give another path") from None
