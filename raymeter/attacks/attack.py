"""What every attack declares: what it needs, how it can go through more records than fit into memory, its source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from raymeter.schema.scores import Scores
from raymeter.schema.signals import Signals


@dataclass(frozen=True)
class Attack(ABC):
    """One attack with its settings: a frozen dataclass that scores all targets at once; higher means member.

    A subclass is one file of this package and one row of ATTACKS. Its fields are the keys of its YAML entry.
    """

    source: ClassVar[str]
    """What it is and whose: a line for the list of methods in reports."""
    needs_references: ClassVar[bool] = True
    """Whether it compares the target with reference models. The first such attack of an audit is its main one."""
    needs_records: ClassVar[bool] = False
    """Whether it reads more than stored signals, so that it runs only in an audit that has the records."""
    sweepable: ClassVar[bool] = True
    """Whether a sweep may try its settings on stored signals."""
    has_first_pass: ClassVar[bool] = False
    """Whether `first_pass` learns something from all records, after which blocks of them can be scored."""
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    @property
    def needs_logits(self) -> bool:
        """Whether it reads the logits of all classes, which are kept only where an attack asks for them."""
        return False

    @property
    def separable(self) -> bool:
        """Whether a record's score does not depend on the other records, so that any block can be scored alone."""
        return False

    @abstractmethod
    def __call__(self, signals: Signals) -> Scores:
        """Scores of every audited record against every target.

        Raises:
            SignalError: The signals lack what the attack needs.
        """

    def first_pass(self, signals: Signals) -> Callable[[Signals], Scores]:
        """What scores blocks of these records as the attack scores them among all; itself where it is separable."""
        return self
