"""How much memory the signals of an audit take, and whether they are mapped from files."""

from __future__ import annotations

import numpy as np

from raymeter.config.load import AuditConfig
from raymeter.schema.dataset import Dataset
from raymeter.schema.signals import KINDS
from raymeter.schema.split import Split


def signal_bytes(config: AuditConfig, dataset: Dataset, split: Split) -> int:
    """What the signals of all models take, with the logits where those are kept."""
    cell = len(KINDS) + (dataset.num_classes if config.keeps_logits else 0)
    records = len(split.audit_ids) + len(split.population_ids)
    models: int = split.member.shape[1]
    return 4 * cell * records * models * len(config.views(dataset.is_image))


def is_mapped(config: AuditConfig, dataset: Dataset, split: Split) -> bool:
    """Whether the audit's signals, or the records they are of, are beyond `data.in_memory_limit`."""
    if not isinstance(dataset.population_x, np.ndarray):
        return True
    records = len(split.audit_ids) * dataset.x.nbytes // max(1, len(dataset.y)) if dataset.is_streamed else 0
    return max(records, signal_bytes(config, dataset, split)) > config.data.in_memory_limit
