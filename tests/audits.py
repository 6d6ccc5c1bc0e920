"""A small audit of real digits, as the tests of the distributed stages run it."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from raymeter.config.load import AuditConfig, build_config
from raymeter.data import load_dataset
from raymeter.data.datasets import digits
from raymeter.distributed.regressors import add_predictions
from raymeter.distributed.signals.collect import collect_signals
from raymeter.distributed.training.train_references import train_references
from raymeter.pipeline.checks import make_audit_split
from raymeter.pipeline.provenance import identity
from raymeter.pipeline.stage_settings import regression, signal_plan
from raymeter.schema import Signals
from raymeter.schema.dataset import DataSpec
from raymeter.schema.reporter import Silent
from raymeter.schema.seeds import model_seed, seed_for
from raymeter.signals.compute import compute_signals
from raymeter.signals.records import gather_records
from raymeter.signals.stored import assemble, save_index
from raymeter.storage.columns import save_column
from raymeter.storage.run_store import RunStore
from raymeter.training.split import pair_reference
from raymeter.training.trainer import Trainer, TrainingData, fit

SECTIONS = {
    "audit": {"num_ref_models": 1, "views": ["identity"], "population_size": 300, "batch_size": 100},
    "train": {"model_name": "mlp", "epochs": 3, "learning_rate": 0.02, "batch_size": 32, "checkpoint_interval": 0.0},
    "data": {"dataset": "digits", "pool_size": 400},
}


def small_config(path: Path, **changes: dict) -> AuditConfig:
    """The small audit, with some keys of some sections changed."""
    sections = {name: {**values, **changes.pop(name, {})} for name, values in SECTIONS.items()}
    return build_config({"run": {"log_dir": str(path)}, **sections, **changes})


def signals_of(config: AuditConfig, said: Silent | None = None) -> tuple[Signals, list[str]]:
    """Train, collect and predict on the Ray of this process; returns the signals and the lines that were said."""
    store, said = RunStore.at(config.run.log_dir), said or Silent()
    dataset = load_dataset(config.data_spec())
    split = make_audit_split(config, dataset)
    store.claim(identity(config, dataset))
    models = train_references(dataset, split, config.train, config.cluster, store, said)
    records = gather_records(dataset, split)
    signals = collect_signals(signal_plan(config, dataset, split), split, records, models, store, said)
    return add_predictions(regression(config, dataset), signals, records, models, store, said), said.lines


def serial_signals(config: AuditConfig) -> Signals:
    """What an audit must give, wherever it runs: every model trained and asked here, one after the other."""
    dataset = load_dataset(config.data_spec())
    split = make_audit_split(config, dataset)
    cpu, threads = torch.device("cpu"), torch.get_num_threads()
    torch.set_num_threads(1)
    data, models = TrainingData.on_device(dataset.x, dataset.y, dataset.num_classes, cpu), []
    for index in map(int, split.models):
        member, seed = np.ascontiguousarray(split.member[:, index]), model_seed(split.seed, index)
        trainer = Trainer(data, member, config.train.recipe(), seed)
        fit(trainer, lambda trainer: None)
        models.append(trainer.final_model)
    found, size = [], config.audit.batch_size
    for records in gather_records(dataset, split):
        blocks = [slice(start, start + size) for start in range(0, len(records.y), size)]
        views = config.views(dataset.is_image)
        values = [compute_signals(models, records.x[block], records.y[block], views, cpu).values for block in blocks]
        member = split.member[records.ids] if records.part == "audit" else np.zeros((len(records.y), len(models)), bool)
        masks = {"reference": split.reference, "targets": split.targets, "ids": records.ids, "labels": records.y}
        found.append(assemble(list(np.moveaxis(np.concatenate(values, axis=1), 2, 0)), member, **masks))
    torch.set_num_threads(threads)
    return Signals(*found)


def stored_audit(path: Path, models: int, records: int) -> RunStore:
    """A run directory with the signals of a leaky audit that never was: complementary pairs, one view."""
    rng, store = np.random.default_rng(0), RunStore.at(str(path))
    half = rng.random((records, models // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, models)
    columns, found = {}, {}
    for part, side in (("audit", member), ("population", np.zeros((100, models), dtype=bool))):
        gap = (2 * rng.normal(size=(len(side), 1)) + rng.normal(size=side.shape) + side).astype(np.float32)
        values = [np.stack([-np.logaddexp(np.float32(0), -g), g])[:, :, None] for g in gap.T]
        columns[part] = [f"{part}_{m}" for m in range(models)]
        for key, value in zip(columns[part], values, strict=True):
            save_column(store, key, value, {})
        masks = {"reference": pair_reference(models), "targets": np.arange(models), "ids": np.arange(len(side))}
        found[part] = assemble(values, side, labels=np.zeros(len(side), dtype=np.int64), **masks)
    config = build_config({"run": {"log_dir": str(path)}, "audit": {"num_ref_models": models // 2 - 1}}).resolved()
    save_index(store, Signals(found["audit"], found["population"]), columns, config)
    return store


def but_number_three(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A model whose code fails where it is the model number three of seed 0, and with no other."""
    if torch.initial_seed() == seed_for(model_seed(0, 3), "weights"):
        raise ValueError("not this one")
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


class Exits(nn.Module):
    """A model that ends the process as soon as it is asked for anything."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sys.exit(0)


def on_a_full_disk(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A model in whose process nothing more can be written."""

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    os.fsync = full
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


def large_digits(spec: DataSpec) -> tuple[np.ndarray, np.ndarray]:
    """Digits drawn with 64 times as many pixels: records of which a copy shows."""
    records = digits.load(spec)
    return records.x.repeat(8, axis=2).repeat(8, axis=3), records.y


class Unhurried(nn.Module):
    """A small network that waits before every batch, where the environment says so."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.AvgPool2d(shape[-1] // 8), nn.Flatten(), nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Linear(32, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(float(os.environ.get("AUDITS_PAUSE", "0")) * (1 if self.training else 5))
        return self.head(self.layers(x))


def assert_same_bits(first: Signals, second: Signals) -> None:
    """Every signal of both parts is equal, bit for bit."""
    for kind in first.audit:
        np.testing.assert_array_equal(first.audit[kind].values, second.audit[kind].values)
        np.testing.assert_array_equal(first.population[kind].values, second.population[kind].values)
