"""What `raymeter explain-difference` prints."""

from __future__ import annotations

from collections.abc import Iterator

from raymeter.analysis.differences.findings import Explanation


def difference_lines(difference: Explanation) -> Iterator[str]:
    """What differs first, then what does not, then the walks, then the nearest attacks; line by line."""
    for title, differs in (("Different:", True), ("Alike, or not known:", False)):
        texts = [finding.text for finding in difference.findings if finding.differs == differs]
        if texts:
            yield title
            yield from (f"  {text}" for text in texts)
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
