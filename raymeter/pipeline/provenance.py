"""Where a result came from: what a run directory is an audit of, and what produced a report."""

from __future__ import annotations

import hashlib
import importlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

import raymeter
from raymeter.config.load import AuditConfig
from raymeter.schema.dataset import Dataset
from raymeter.schema.model_record import ModelRecord

STORE_VERSION = 1
STREAM_VERSION = 1  # of the order in which streamed records train a model: raise it when that changes


def identity(config: AuditConfig, dataset: Dataset) -> dict[str, Any]:
    """What decides every trained model; models of two audits may be mixed only if these are equal."""
    return {
        "store_version": STORE_VERSION,
        "run": {"random_seed": config.run.random_seed},
        "train": {
            **asdict(config.train.recipe()),
            **_source("model", config.train.model_name),
            **_source("fit", config.train.fit or ""),
        },
        "data": {
            "dataset": config.data.dataset,
            "records": len(dataset.y),
            "sha256": dataset.pool_fingerprint,
            **({"streamed": STREAM_VERSION} if dataset.is_streamed else {}),
        },
    }


def _source(what: str, name: str) -> dict[str, str]:
    """Digest of the file that a module:function comes from: editing it makes another recipe."""
    if ":" not in name:
        return {}
    file = getattr(importlib.import_module(name.partition(":")[0]), "__file__", None)
    return {f"{what}_source": hashlib.sha256(Path(file).read_bytes()).hexdigest()} if file else {}


def provenance(
    config: AuditConfig,
    dataset: Dataset,
    models: Sequence[ModelRecord],
    cluster: Mapping[str, Any],
    target: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Configuration, versions, seeds, hashes and retries of one audit, and what is known of a foreign target."""
    return {
        "raymeter": raymeter.__version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "cluster": dict(cluster),
        "config": config.resolved(),
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.fingerprint,
            "pool": len(dataset.y),
            "population": len(dataset.population_y),
            "classes": dataset.num_classes,
            "records": dataset.contents,
        },
        "models": [asdict(model) for model in models],
        "missing_models": sorted(set(range(config.num_models)) - {model.index for model in models}),
        **({"target": dict(target)} if target else {}),
    }


def timeline(models: Sequence[ModelRecord], attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Who trained what, where and when (seconds since 1970), and every attempt that the run directory knows of.

    An attempt that ended with the driver itself is not known: nobody was left to write it down.
    """
    names = ("index", "node", "started", "finished", "seconds", "attempts")
    return {
        "models": [{name: getattr(model, name) for name in names} for model in models],
        "attempts": [dict(attempt) for attempt in attempts],
    }
