"""What an audit would do, without doing any of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import yaml

from raymeter.config.load import AuditConfig
from raymeter.data import DOWNLOADABLE, load_dataset
from raymeter.errors import DataError
from raymeter.pipeline.checks import check_fit, make_audit_split
from raymeter.pipeline.code_check import check_code
from raymeter.pipeline.foreign_target import find_target
from raymeter.pipeline.memory_estimate import is_mapped, signal_bytes
from raymeter.pipeline.provenance import identity
from raymeter.schema.model_record import Origin
from raymeter.schema.origins import origins_of
from raymeter.schema.reporter import Silent
from raymeter.schema.seeds import model_seed
from raymeter.storage.model_store import ModelStore
from raymeter.storage.run_store import RunStore
from raymeter.storage.witnesses import restored_identity


def dry_run(config: AuditConfig) -> str:
    """The resolved configuration and what an audit would do, without doing any of it."""
    lines = [yaml.safe_dump(config.resolved(), sort_keys=False).rstrip(), ""]
    store = RunStore.at(config.run.log_dir)
    recipe, seed = config.train.recipe(), config.run.random_seed
    origins = {index: Origin(recipe.hash, model_seed(seed, index), "", "") for index in range(config.num_models)}
    try:
        spec = replace(config.data_spec(), download=False)
        dataset = load_dataset(spec)
    except DataError as error:
        if config.data.dataset not in DOWNLOADABLE:
            raise
        return "\n".join([*lines, _models(store, origins), f"data: not here yet ({error})"])
    split = make_audit_split(config, dataset)
    check_fit(config, dataset, split)
    check_code(config, dataset.num_classes, store, lines.append)
    about, origins = identity(config, dataset), origins_of(dataset, split.trained_here, recipe)
    if restored := restored_identity(store, about, origins):
        lines.append(restored)
    else:
        store.check_identity(about)
    target, said = find_target(config, dataset, split, store), Silent()
    if target is not None:
        target.check(said)
    examples, queries = len(split.audit_ids), len(config.views(dataset.is_image))
    data_mb = (dataset.x.nbytes + dataset.population_x.nbytes) / 2**20
    signals_mb = signal_bytes(config, dataset, split) / 2**20
    mapped = is_mapped(config, dataset, split)
    lines += [
        _models(store, origins),
        f"data: {dataset.name}, pool {len(dataset.y)}, population {len(dataset.population_y)}, "
        f"{dataset.num_classes} classes",
        f"records: {dataset.contents}",
        f"audit: {examples} records x {config.num_models} models x {queries} views, {len(split.targets)} targets",
        f"memory: about {data_mb:.0f} MiB of records "
        + ("streamed" if dataset.is_streamed else "on every node")
        + (
            f", {signals_mb:.0f} MiB of signals in files on the driver's machine, attacked in blocks"
            if mapped
            else f", {2 * signals_mb:.0f} MiB of signals on the driver"
        ),
        *(f"target: {line}" for line in said.lines),
    ]
    return "\n".join(lines)


def _models(store: RunStore, origins: Mapping[int, Origin]) -> str:
    """How many models an audit would find, and how many it would train."""
    models = ModelStore(store)
    done = sum(models.load(index, origin)[0] is not None for index, origin in origins.items())
    return f"models: {len(origins)} in all, {done} reused, {len(origins) - done} to train"
