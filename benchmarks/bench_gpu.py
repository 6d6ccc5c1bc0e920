"""How fast reference models are trained and signals collected on one GPU, and how many slots should share it.

    python benchmarks/bench_gpu.py [--model wrn28-2] [--epochs 5] [--precision bf16] [--slots 1 2 4 8]

Records have the shape of CIFAR-10's and are random: what an epoch costs does not depend on what is in the pictures.
A bare PyTorch loop that trains one model after the other in one process is timed in the same run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from raymeter.config.load import AuditConfig, build_config
from raymeter.distributed.session import connected
from raymeter.distributed.signals.collect import collect_signals
from raymeter.distributed.training.train_references import attempts, train_references
from raymeter.models import build_model
from raymeter.models.inputs import normalise
from raymeter.pipeline.checks import make_audit_split
from raymeter.pipeline.stage_settings import signal_plan
from raymeter.schema import Dataset
from raymeter.schema.reporter import Silent
from raymeter.signals.records import gather_records
from raymeter.storage.run_store import RunStore
from raymeter.training.augment import augment_batch

POOL, POPULATION = 50_000, 10_000


def pictures() -> Dataset:
    """Random records of CIFAR-10's size and shape."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (POOL + POPULATION, 3, 32, 32), dtype=np.uint8)
    y = rng.integers(0, 10, POOL + POPULATION)
    return Dataset("random pictures", x[:POOL], y[:POOL], x[POOL:], y[POOL:], num_classes=10)


def configuration(folder: str, options: argparse.Namespace, slots: int, models: int) -> AuditConfig:
    train = {
        "model_name": options.model,
        "epochs": options.epochs,
        "precision": options.precision,
        "weight_decay": 5e-4,
        "augment": "mirror_crop",
        "ema": 0.999,
        "learning_rate": 0.01,
        "resources_per_model": {"CPU": 1, "GPU": 1 / slots},
    }
    audit = {"num_ref_models": models // 2 - 1, "population_size": POPULATION, "views": ["identity", "mirror"]}
    return build_config({"run": {"log_dir": f"{folder}/{slots}"}, "audit": audit, "train": train})


def seconds_of_bare_loop(dataset: Dataset, options: argparse.Namespace) -> float:
    """Seconds per epoch of what someone would write for one model; the first epoch, which warms up, is left out."""
    device = torch.device("cuda")
    x, y = torch.from_numpy(dataset.x).to(device), torch.from_numpy(dataset.y).to(device)
    model = build_model(options.model, tuple(x.shape[1:]), 10).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
    generator = torch.Generator().manual_seed(0)
    start = 0.0
    for epoch in range(options.epochs + 1):
        if epoch == 1:
            torch.cuda.synchronize()
            start = time.perf_counter()
        for ids in torch.randperm(POOL // 2).to(device).split(256):
            images = augment_batch(normalise(x[ids]), "mirror_crop", generator)
            with torch.autocast("cuda", torch.bfloat16, enabled=options.precision == "bf16"):
                loss = F.cross_entropy(model(images), y[ids])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            average.update_parameters(model)
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / options.epochs


def time_slots(dataset: Dataset, options: argparse.Namespace, folder: str, slots: int, bare: float) -> None:
    """Train on so many slots that share the GPU, collect the signals, and print both."""
    config = configuration(folder, options, slots, max(4, 2 * slots))
    split, store = make_audit_split(config, dataset), RunStore.at(config.run.log_dir)
    start = time.time()
    models = train_references(dataset, split, config.train, config.cluster, store, Silent())
    each = attempts(store)
    first, last = min(a["started"] for a in each), max(a["ended"] for a in each)
    epoch = (last - first) / len(models) / options.epochs
    print(
        f"{slots} slots, {len(models)} models: {epoch:.2f} s per model and epoch, {bare / epoch:.2f} of the bare "
        f"loop's speed, a model of 100 epochs every {100 * epoch:.0f} s; start-up {first - start:.1f} s",
        flush=True,
    )
    begin = time.perf_counter()
    plan = signal_plan(config, dataset, split)
    collect_signals(plan, split, gather_records(dataset, split), models, store, Silent())
    seconds, passes = time.perf_counter() - begin, (POOL + POPULATION) * 2 * len(models)
    print(f"  signals: {passes:,} forward passes in {seconds:.1f} s, start-up included", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="wrn28-2")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--precision", choices=("float32", "bf16"), default="bf16")
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4, 8])
    options = parser.parse_args()
    dataset = pictures()
    print(f"{os.cpu_count()} CPU cores, {torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{options.model}, {options.precision}, {options.epochs} epochs of {POOL // 2:,} records each")
    bare = seconds_of_bare_loop(dataset, options)
    print(f"bare loop, one model after the other: {bare:.2f} s per model and epoch", flush=True)
    with tempfile.TemporaryDirectory() as folder, connected(configuration(folder, options, 1, 4).cluster):
        for slots in options.slots:
            time_slots(dataset, options, folder, slots, bare)


if __name__ == "__main__":
    main()
