"""The sections of a sweep: every key with its default, its limits and its meaning."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from raymeter.config.sections import ClusterSection
from raymeter.sweep.metric import Metric

MOST_SETTINGS = 1_000_000


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SweepRun(_Section):
    """Which finished audit, and what makes the sweep repeatable."""

    log_dir: str = Field(min_length=1, description="Run directory of a finished audit")
    random_seed: int = Field(0, ge=0, description="Every random choice of the sweep derives from this number")


class SweepSection(_Section):
    """What is swept, how, and how the winner is chosen."""

    name: str = Field("sweep", description="Results go to <log_dir>/sweep/<name>")
    metric: str = Field("auc", description="auc, log_auc, or tpr@<fpr> such as tpr@0.001")
    searcher: Literal["grid", "random", "optuna"] = Field("grid", description="optuna needs the extra sweep")
    samples: int | None = Field(None, ge=1, le=MOST_SETTINGS, description="Settings that random or optuna try")
    selection_share: float = Field(
        0.5, gt=0, lt=1, description="Share of the target pairs that settings are selected on"
    )
    block: int = Field(25, ge=1, description="Settings that one trial evaluates")
    asha: bool = Field(False, description="Give poor settings up after 1,000, 4,000, ... records; one setting a trial")
    space: tuple[Any, ...] = Field(strict=False, description="One mapping per attack")

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
            raise ValueError("use up to 100 letters, digits, _ and -")
        return name

    @field_validator("space")
    @classmethod
    def _space(cls, space: tuple[Any, ...]) -> tuple[Any, ...]:
        if not space:
            raise ValueError("the list is empty; give at least one attack")
        return space

    @field_validator("metric")
    @classmethod
    def _metric(cls, name: str) -> str:
        Metric(name)
        return name


class SweepConfig(_Section):
    """One sweep, complete and checked."""

    run: SweepRun
    sweep: SweepSection
    cluster: ClusterSection = ClusterSection()
