"""How fast reference models are trained, beside a bare PyTorch loop in two processes without Ray.

    python benchmarks/bench_training.py [--models 16] [--epochs 5] [--pool 60000]

Both train the same CNNs on the same halves of Fashion-MNIST with the same recipe, and measure accuracy and loss on both
halves, as every audit does. Start-up (until the first model is begun) and wind-down (after the last one) are told
apart from the work between them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from raymeter.config.load import AuditConfig, build_config
from raymeter.data import load_dataset
from raymeter.distributed.session import connected
from raymeter.distributed.training.train_references import attempts, train_references
from raymeter.models import build_model
from raymeter.pipeline.checks import make_audit_split
from raymeter.schema.reporter import Silent
from raymeter.storage.run_store import RunStore

PROCESSES = 2


def configuration(folder: str, models: int, epochs: int, pool: int) -> AuditConfig:
    return build_config(
        {
            "run": {"log_dir": folder},
            "audit": {"num_ref_models": models // 2 - 1, "population_size": 1000},
            "train": {"model_name": "cnn", "epochs": epochs, "learning_rate": 0.05, "batch_size": 128},
            "data": {"dataset": "fashion_mnist", "pool_size": pool},
            "cluster": {"num_cpus": PROCESSES},
        }
    )


def bare_loop(rank: int, folder: str, sizes: tuple[int, int, int], ready: object, seconds: object) -> None:
    """What someone would write for one of the processes: every PROCESSES-th model, one thread."""
    torch.set_num_threads(1)
    config = configuration(folder, *sizes)
    dataset = load_dataset(config.data_spec())
    split = make_audit_split(config, dataset)
    x, y = torch.from_numpy(dataset.x), torch.from_numpy(dataset.y)
    ready.wait()
    start = time.perf_counter()
    for index in range(rank, sizes[0], PROCESSES):
        torch.manual_seed(index)
        member = split.member[:, index]
        inside, outside = torch.from_numpy(np.flatnonzero(member)), torch.from_numpy(np.flatnonzero(~member))
        model = build_model("cnn", tuple(x.shape[1:]), dataset.num_classes)
        optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, sizes[1])
        for _ in range(sizes[1]):
            model.train()
            for ids in inside[torch.randperm(len(inside))].split(128):
                loss = F.cross_entropy(model(x[ids].float() / 127.5 - 1), y[ids])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            for half in (inside, outside):
                for ids in half.split(1024):
                    logits = model(x[ids].float() / 127.5 - 1)
                    (logits.argmax(1) == y[ids]).sum().item(), F.cross_entropy(logits, y[ids]).item()
        torch.save(model.state_dict(), Path(folder, f"bare_{index}.pt"))
    seconds[rank] = time.perf_counter() - start


def time_bare(folder: str, sizes: tuple[int, int, int]) -> float:
    """Seconds of the slower process, from the moment when both have loaded the data."""
    context = multiprocessing.get_context("spawn")
    ready, seconds = context.Barrier(PROCESSES), context.Array("d", PROCESSES)
    processes = [context.Process(target=bare_loop, args=(r, folder, sizes, ready, seconds)) for r in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return max(seconds)


def time_raymeter(folder: str, sizes: tuple[int, int, int]) -> tuple[float, float, float]:
    """Seconds of start-up, work and wind-down of the training stage, on a Ray that is there."""
    config = configuration(f"{folder}/run", *sizes)
    dataset = load_dataset(config.data_spec())
    split, store = make_audit_split(config, dataset), RunStore.at(config.run.log_dir)
    with connected(config.cluster):
        start = time.time()
        train_references(dataset, split, config.train, config.cluster, store, Silent())
        end = time.time()
    each = attempts(store)
    first, last = min(a["started"] for a in each), max(a["ended"] for a in each)
    return first - start, last - first, end - last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--pool", type=int, default=60_000)
    options = parser.parse_args()
    sizes = (options.models, options.epochs, options.pool)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"{sizes[0]} cnn models x {sizes[1]} epochs, {sizes[2] // 2:,} of {sizes[2]:,} records each", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        before = time_bare(folder, sizes)
        print(f"bare loop, {PROCESSES} processes: {before:.1f} s", flush=True)
        startup, work, end = time_raymeter(folder, sizes)
        print(f"raymeter: {work:.1f} s of work, {startup:.1f} s start-up, {end:.1f} s wind-down", flush=True)
        after = time_bare(folder, sizes)
        print(f"bare loop again: {after:.1f} s")
    print(f"ratio (bare / raymeter's work): {(before + after) / 2 / work:.2f}")


if __name__ == "__main__":
    main()
