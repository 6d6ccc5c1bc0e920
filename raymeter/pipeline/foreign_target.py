"""The model that was trained elsewhere, where the configuration names one."""

from __future__ import annotations

from typing import Any

from raymeter.config.load import AuditConfig
from raymeter.config.sections import QueryTarget, WeightsTarget
from raymeter.schema.dataset import Dataset
from raymeter.schema.split import Split
from raymeter.signals.targets.black_box import BlackBox
from raymeter.signals.targets.protocol import Target, is_member
from raymeter.signals.targets.weights import KnownWeights
from raymeter.storage.run_store import RunStore


def find_target(config: AuditConfig, dataset: Dataset, split: Split, store: RunStore) -> Target | None:
    """The target as something that can be checked, prepared and asked; None where the audit attacks its own models."""
    if config.audit.target is None:
        return None
    match config.audit.target.kind():
        case WeightsTarget() as target:
            return KnownWeights(target, config.train.model_name, dataset, split, store)
        case QueryTarget() as target:
            views, limit = config.views(dataset.is_image), config.data.in_memory_limit
            return BlackBox(target, views, limit, dataset, split, store)


def about_target(target: Target | None, split: Split) -> dict[str, Any] | None:
    """What a report says of it."""
    if target is None:
        return None
    member = is_member(split)
    return {**target.about, "members": int(member.sum()), "others": int((~member).sum())}
