"""`raymeter explain-difference A B`: why two results differ; run directories, reports or tables of scores; no Ray."""

from __future__ import annotations

from pathlib import Path

from raymeter.analysis.differences.findings import Explanation
from raymeter.analysis.differences.findings import explain_difference as explain_sides
from raymeter.pipeline.open_result import load_side, with_attacks


def explain_difference(a: Path, b: Path) -> Explanation:
    """Open both results and hold them against each other.

    Raises:
        DataError: A path is none of the things that can be compared.
        SignalError: They have no record in common, or no attack can run on both.
    """
    return explain_sides(*with_attacks(load_side(a, "A"), load_side(b, "B")))
