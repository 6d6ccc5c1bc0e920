"""Whether the disk of a run directory has room for what an audit will write, asked before anything is trained."""

from __future__ import annotations

from pathlib import Path

from raymeter.config.load import AuditConfig
from raymeter.errors import StoreError
from raymeter.models.build import weights_bytes
from raymeter.pipeline.memory_estimate import is_mapped, signal_bytes
from raymeter.schema.dataset import Dataset
from raymeter.schema.recipe import Recipe
from raymeter.schema.split import Split
from raymeter.storage.model_store import model_path
from raymeter.storage.room import free_bytes, readable
from raymeter.storage.run_store import RunStore

BESIDES = 8 * 2**20  # bytes of reports, markers and manifests


def check_disk_room(config: AuditConfig, dataset: Dataset, split: Split, store: RunStore) -> None:
    """Refuse an audit that would fill the disk.

    Counted are the weights of models that are not there yet, a checkpoint, the columns of signals, and the scratch file
    of mapped ones; what is there already is not subtracted from the columns, which are small beside the models.

    Raises:
        StoreError: There is less room than that; says how much of either.
    """
    free = free_bytes(store)
    if free is None:
        return
    missing = [index for index in map(int, split.models[split.here]) if not _is_stored(store, index)]
    weights = weights_bytes(config.train.model_name, dataset.x.shape[1:], dataset.num_classes)
    needed = {
        f"weights of {len(missing)} models": weights * len(missing),
        "a checkpoint": checkpoint_bytes(weights, config.train.recipe()) if missing else 0,
        "signals": signal_bytes(config, dataset, split) * (2 if is_mapped(config, dataset, split) else 1)
        if missing
        else 0,
    }
    total = sum(needed.values()) + BESIDES
    if free < total:
        parts = ", ".join(f"{what} {readable(size)}" for what, size in needed.items() if size)
        raise StoreError(
            f"run.log_dir: {store.name} has room for {readable(free)}, and this audit needs about {readable(total)} "
            f"({parts or 'reports'}); free some space, or choose another run.log_dir"
        )


def checkpoint_bytes(weights: int, recipe: Recipe) -> int:
    """Weights, what the optimizer keeps of each, and their average where there is one."""
    kept = {"SGD": int(recipe.momentum > 0), "Adam": 2, "AdamW": 2}[recipe.optimizer]
    return weights * (1 + kept + int(recipe.ema is not None)) if recipe.fit is None else weights


def _is_stored(store: RunStore, index: int) -> bool:
    return Path(store.uri, model_path(index, "json")).exists()
