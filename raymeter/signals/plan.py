"""What the computation of signals takes of a configuration, of the data, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raymeter.config.sections import ClusterSection
from raymeter.schema.signals import View
from raymeter.signals.targets.protocol import Content


@dataclass(frozen=True)
class SignalPlan:
    """How the signals of an audit are computed, kept and stored.

    Args:
        views: Of every record, in the order of the signals' queries.
        block: Records that meet a model at once; the bits of a signal depend on it.
        keep_logits: Whether the logits of all classes are kept as well.
        mapped: Whether the signals are kept in mapped files, since they or their records are too large for memory.
        input_shape: Of one record.
        num_classes: Of the dataset.
        architecture: What builds the models that the audit has trained; a record of another model names its own.
        resources: Ray resources of one model; None is one CPU, and one GPU where there are GPUs.
        cluster: Where the work runs.
        config: What the audit was asked for, as plain values; stored with the signals.
        code: Digest of the user's code that builds a target from elsewhere, by its name; the code of the audit's own
            models is part of what a run directory is.
    """

    views: tuple[View, ...]
    block: int
    keep_logits: bool
    mapped: bool
    input_shape: tuple[int, ...]
    num_classes: int
    architecture: str
    resources: Mapping[str, float] | None
    cluster: ClusterSection
    config: Mapping[str, Any]
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def contents(self) -> tuple[Content, ...]:
        """What is stored of every model, each in a column of its own."""
        return ("signals", "logits") if self.keep_logits else ("signals",)
