"""Attacks on more records than fit into memory: some at a time, with the bits of all at once.

An attack declares how that can be done. `separable`: a record's score does not depend on other records, so any
block of them can be attacked alone. `has_first_pass`: it first learns from all records what they say together (LiRA's
variances, from sums), and gives a function that scores blocks. Without either it needs all of them at once: it
ranks them, or tunes something on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from raymeter.attacks.attack import Attack
from raymeter.errors import SignalError
from raymeter.schema.scores import Scores
from raymeter.schema.signals import RECORDS_AT_ONCE, SignalMatrix, Signals

BLOCK_CELLS = 131_072  # examples x models handled at once: bounds the memory next to the signals


def works_in_blocks(attack: Attack) -> bool:
    """Whether the attack can score some of the records as it would score them among all."""
    return attack.separable or attack.has_first_pass


def block_attack(attack: Attack, signals: Signals) -> Callable[[Signals], Scores]:
    """What scores any block of these records as the attack scores them among all.

    Raises:
        SignalError: The attack needs all records at once.
    """
    if not works_in_blocks(attack):
        raise SignalError(
            f"{type(attack).__name__} needs all records at once; audit fewer (audit.data_size), "
            "or raise data.in_memory_limit"
        )
    return attack.first_pass(signals)


def record_blocks(matrix: SignalMatrix, records: int = RECORDS_AT_ONCE) -> list[slice]:
    """Ranges of about so many records, in multiples of what attacks work on at once: their sums are the same then."""
    first = next(iter(blocks(matrix)), slice(0, 1))
    step = max(1, records // first.stop) * first.stop
    return [slice(start, min(start + step, len(matrix.values))) for start in range(0, len(matrix.values), step)]


def blocks(signals: SignalMatrix) -> Iterator[slice]:
    """Ranges of records small enough to work on at once."""
    examples, models, _ = signals.values.shape
    step = max(1, BLOCK_CELLS // max(models, len(signals.targets)))
    return (slice(start, min(start + step, examples)) for start in range(0, examples, step))
