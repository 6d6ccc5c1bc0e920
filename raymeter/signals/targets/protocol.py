"""What a target that was trained elsewhere can be asked, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool

from raymeter.schema.dataset import LazyRecords
from raymeter.schema.model_record import ModelRecord
from raymeter.schema.reporter import Reporter
from raymeter.schema.split import Split

Part: TypeAlias = tuple[str, np.ndarray | LazyRecords, np.ndarray]
Content = Literal["signals", "logits"]
AnswerColumns: TypeAlias = dict[tuple[Content, str], np.ndarray]


@runtime_checkable
class Target(Protocol):
    """A model that was trained elsewhere; `about` is what a report says of it."""

    about: dict[str, Any]

    def check(self, reporter: Reporter) -> None:
        """Refuse what cannot be, without asking or writing anything."""

    def prepare(self, reporter: Reporter) -> None:
        """Find out before any training whether the target can be asked."""

    def answer(self, parts: Sequence[Part], reporter: Reporter) -> tuple[ModelRecord, AnswerColumns]:
        """The target as a model of this audit, and its columns where it cannot be loaded like one.

        Args:
            parts: Name, records and classes of the audited records, and of the population.

        Returns:
            The record, and by content and part `signals` [kinds, records, queries] and `logits` [records, queries,
            classes]; nothing for a model with weights.
        """


def is_member(split: Split) -> Bool[np.ndarray, " examples"]:
    """Whether the target was trained on each audited record."""
    member: np.ndarray = split.member[split.audit_ids, split.targets[0]]
    return member


def as_model(split: Split, about: Mapping[str, Any], weights: str = "", architecture: str = "") -> ModelRecord:
    """What an audit knows of a target as of its own models."""
    return ModelRecord(
        index=int(split.models[split.targets[0]]),
        seed=0,
        weights=weights,
        sha256=about["sha256"],
        recipe="",
        train_accuracy=about["accuracy"]["members"],
        test_accuracy=about["accuracy"]["others"],
        train_loss=float("nan"),
        test_loss=float("nan"),
        seconds=0.0,
        architecture=architecture,
    )


def accuracy_line(correct: Mapping[str, float], classes: int) -> str:
    """One line that says how well the target does, and what to look at where that is hardly better than chance."""
    line = (
        f"the target finds the class of {correct['members']:.1%} of its members and {correct['others']:.1%} of others"
    )
    if correct["members"] < min(2 / classes, (1 + 1 / classes) / 2):
        line += "; that is hardly better than chance: are the classes in its order, and the records as it was trained?"
    return line
