"""What `raymeter compare` prints."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from raymeter.analysis.comparison import Movement, RunComparison
from raymeter.schema.interval_text import interval_text, p_text


def comparison_lines(comparison: RunComparison) -> Iterator[str]:
    """The comparison as text, line by line: a table of AUCs, what differs, and the records that moved."""
    yield f"A: {comparison.a}"
    yield f"B: {comparison.b}"
    width = max(len(label) for label in comparison.attacks)
    yield f"\n{'AUC':<{width}}  {'A':>7}  {'B':>7}  B minus A [95 % interval], p"
    for label, attack in comparison.attacks.items():
        difference = interval_text(attack.auc, 4, signed=True)
        how = "" if attack.paired else "  (other members or records: not paired)"
        yield (
            f"{label:<{width}}  {attack.a.estimate:7.4f}  {attack.b.estimate:7.4f}  {difference}, "
            f"p {p_text(attack.auc.p_value)}{how}"
        )
    if comparison.settings:
        yield f"other settings under the same name: {'; '.join(comparison.settings)}"
    if comparison.note:
        yield comparison.note
    yield from comparison.inconclusive
    for name, labels in (("A", comparison.only_a), ("B", comparison.only_b)):
        if labels:
            yield f"only in {name}: {', '.join(labels)}"
    if comparison.movement is not None:
        yield from _movement_lines(comparison.movement)


def _movement_lines(movement: Movement) -> Iterator[str]:
    yield (
        f"\n{movement.records} records in both, by {movement.attack}: rank correlation of their exposure "
        + (f"{movement.correlation:.3f}" if isfinite(movement.correlation) else "not defined")
    )
    if movement.named is not None:
        first, second, both = movement.named
        yield f"named at risk: {first} in A, {second} in B, {both} in both"
    for title, records in (("rose most", movement.risen), ("fell most", movement.fallen)):
        if records:
            yield f"{title} (share of the records that are less exposed, A -> B):"
            yield from (f"  record {record}: {before:.3f} -> {after:.3f}" for record, before, after in records)
