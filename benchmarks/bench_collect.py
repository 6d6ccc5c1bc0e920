"""How fast signals are collected, beside a bare loop over the same models and records in two processes without Ray.

    python benchmarks/bench_collect.py [--records 50000] [--models 16]

Both run the same untrained CNNs on the same Fashion-MNIST images, in two views (as they are and mirrored), and compute
the same signals. Start-up (until the first batch has arrived) is told apart from the work.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import tempfile
import time

import numpy as np
import safetensors.torch
import torch

from raymeter.config.load import AuditConfig, build_config
from raymeter.data import load_dataset
from raymeter.distributed.session import connected
from raymeter.distributed.signals.collect import collect_signals
from raymeter.models import build_model
from raymeter.pipeline.checks import make_audit_split
from raymeter.pipeline.stage_settings import signal_plan
from raymeter.schema import ModelRecord
from raymeter.signals.compute import compute_signals
from raymeter.signals.records import gather_records
from raymeter.storage.local_files import sha256
from raymeter.storage.model_store import ModelStore, weights_path
from raymeter.storage.run_store import RunStore

PROCESSES = 2


def configuration(folder: str, models: int, records: int) -> AuditConfig:
    return build_config(
        {
            "run": {"log_dir": folder},
            "audit": {"num_ref_models": models // 2 - 1, "population_size": 2, "views": ["identity", "mirror"]},
            "train": {"model_name": "cnn"},
            "data": {"dataset": "fashion_mnist", "pool_size": records},
            "cluster": {"num_cpus": PROCESSES},
        }
    )


def untrained(index: int) -> torch.nn.Module:
    torch.manual_seed(index)
    return build_model("cnn", (1, 28, 28), 10).eval()


def store_models(store: RunStore, models: int) -> list[ModelRecord]:
    """Untrained models in a run directory, as if they were done."""
    records = []
    for index in range(models):
        weights = {name: value.contiguous() for name, value in untrained(index).state_dict().items()}
        data = safetensors.torch.save(weights)
        record = ModelRecord(index, 0, weights_path(index), sha256(data), "none", 0.0, 0.0, 0.0, 0.0, 0.0)
        records.append(ModelStore(store).save(record, data))
    return records


def bare_loop(rank: int, folder: str, models: int, records: int, ready: object, seconds: object) -> None:
    """What someone would write for one of the processes: its share of the records, one thread."""
    torch.set_num_threads(1)
    config = configuration(folder, models, records)
    dataset = load_dataset(config.data_spec())
    share = slice(rank * records // PROCESSES, (rank + 1) * records // PROCESSES)
    x, y = dataset.x[share], dataset.y[share]
    networks = [untrained(index) for index in range(models)]
    ready.wait()
    start = time.perf_counter()
    parts = []
    size = config.audit.batch_size
    for first in range(0, len(y), size):
        rows = slice(first, first + size)
        parts.append(compute_signals(networks, x[rows], y[rows], ("identity", "mirror"), torch.device("cpu"), False))
    np.save(f"{folder}/bare_{rank}.npy", np.concatenate([part.values for part in parts], axis=2))
    seconds[rank] = time.perf_counter() - start


def time_bare(folder: str, models: int, records: int) -> float:
    """Seconds of the slower process, from the moment when both have data and models."""
    context = multiprocessing.get_context("spawn")
    ready, seconds = context.Barrier(PROCESSES), context.Array("d", PROCESSES)
    shares = [(rank, folder, models, records, ready, seconds) for rank in range(PROCESSES)]
    processes = [context.Process(target=bare_loop, args=share) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return max(seconds)


class Stopwatch:
    """A Reporter that notes when how many records had arrived."""

    def __init__(self) -> None:
        self.arrived: list[tuple[float, float]] = []

    def progress(self, done: float, total: float, what: str) -> None:
        self.arrived.append((time.perf_counter(), done))

    def note(self, line: str) -> None:
        pass


def time_raymeter(folder: str, models: int, records: int) -> tuple[float, float, float]:
    """Seconds of start-up, of the work as a whole, and of what follows the last batch, on a Ray that is there.

    The work of the batches that came first is added to the time between the first and the last arrival.
    """
    config = configuration(f"{folder}/run", models, records)
    dataset = load_dataset(config.data_spec())
    split, store = make_audit_split(config, dataset), RunStore.at(config.run.log_dir)
    stored, watch = store_models(store, models), Stopwatch()
    with connected(config.cluster):
        start = time.perf_counter()
        parts = gather_records(dataset, split)
        collect_signals(signal_plan(config, dataset, split), split, parts, stored, store, watch)
        end = time.perf_counter()
    (first, some), (last, total) = watch.arrived[0], watch.arrived[-1]
    between = last - first
    work = between * total / (total - some)
    return first - start - (work - between), work, end - last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--models", type=int, default=16)
    options = parser.parse_args()
    sizes = (options.models, options.records)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}")
    print(f"{sizes[1]:,} records x {sizes[0]} models x 2 views", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        before = time_bare(folder, *sizes)
        print(f"bare loop, {PROCESSES} processes: {before:.1f} s", flush=True)
        startup, work, end = time_raymeter(folder, *sizes)
        print(f"raymeter: {work:.1f} s of work, {startup:.1f} s start-up, {end:.1f} s storing", flush=True)
        after = time_bare(folder, *sizes)
        print(f"bare loop again: {after:.1f} s")
    print(f"ratio (bare / raymeter's work and storing): {(before + after) / 2 / (work + end):.2f}")


if __name__ == "__main__":
    main()
