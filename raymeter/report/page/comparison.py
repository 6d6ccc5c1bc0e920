"""Two audits compared, as one HTML page."""

from __future__ import annotations

from raymeter.analysis.comparison import RunComparison
from raymeter.report.page.templates import render


def comparison_page(comparison: RunComparison) -> str:
    """The page; it opens from disk and fetches nothing."""
    return render("comparison.html", comparison=comparison)
