"""How well slots are kept busy: models that only sleep, on logical GPUs, without any real work.

    python benchmarks/bench_scheduling.py [--models 512] [--gpus 32] [--seconds 45]

The whole of the training stage runs as in an audit (Ray Train runs, leases, progress), but a model in training sleeps.
Prints the makespan beside the ideal, models * seconds / gpus, and the memory of the driver at its start and its end.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from typing import Any

import numpy as np
import psutil
import ray

from raymeter.config.load import build_config
from raymeter.distributed.session import ENVIRONMENT, QUIET
from raymeter.distributed.training import slots
from raymeter.distributed.training import train_references as train
from raymeter.schema import Dataset, Split
from raymeter.schema.reporter import Silent
from raymeter.storage.run_store import RunStore


def sleeping_slot(config: dict[str, Any]) -> None:
    """What a slot's worker does, but for training."""
    work, queue, slot = config["work"], config["queue"], config["slot"]
    if not ray.get(queue.start.remote(slot)):
        return
    while (lease := ray.get(queue.acquire.remote(slot))) is not None:
        end = time.monotonic() + work.checkpoint_interval
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, 0.5))
            ray.get(queue.watch.remote(slot, lease[0], 0))
        ray.get(queue.may_store.remote(slot, lease[0]))
        ray.get(queue.complete.remote(slot, lease[0]))


class MemoryWatch(Silent):
    """A Reporter that notes the memory of this process with the progress."""

    def __init__(self) -> None:
        super().__init__()
        self.memory: list[tuple[float, float]] = []

    def progress(self, done: float, total: float, what: str) -> None:
        self.memory.append((done, psutil.Process().memory_full_info().uss / 2**20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=512)
    parser.add_argument("--gpus", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=45, help="that a model sleeps")
    options = parser.parse_args()
    for name, value in {**ENVIRONMENT, **QUIET}.items():
        os.environ.setdefault(name, value)
    ray.init(num_cpus=2, num_gpus=options.gpus, include_dashboard=False, log_to_driver=False, logging_level="FATAL")
    slots.train_slot = sleeping_slot
    models = options.models
    nothing = np.zeros((2, 1), np.float32)
    dataset = Dataset("none", nothing, np.zeros(2, np.int64), nothing, np.zeros(2, np.int64), 1)
    none = np.arange(0)
    split = Split(np.zeros((2, models), bool), np.zeros((0, models), bool), none, none, none, seed=0)
    config = build_config(
        {
            "run": {"log_dir": tempfile.mkdtemp(prefix="raymeter_bench_")},
            "train": {"resources_per_model": {"GPU": 1}, "checkpoint_interval": options.seconds},
        }
    )
    store, watch = RunStore.at(config.run.log_dir), MemoryWatch()
    ideal = models * options.seconds / options.gpus
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Ray {ray.__version__}")
    print(f"{models} models of {options.seconds:g} s on {options.gpus} logical GPUs, ideal {ideal:.0f} s", flush=True)
    start, begin = time.monotonic(), time.time()
    work = train.work_of(dataset, split, config.train, store)
    train.train_missing(list(range(models)), work, config.train, config.cluster, store, watch)
    makespan = time.monotonic() - start
    each = train.attempts(store)
    begun = sorted(attempt["started"] for attempt in each)
    print(f"makespan {makespan:.0f} s, {makespan / ideal:.3f} of the ideal; {len(each)} leases")
    ended = sorted(attempt["ended"] for attempt in each)
    print(f"first lease after {begun[0] - begin:.0f} s, last one ended after {ended[-1] - begin:.0f} s")
    print(
        f"the last of the first {options.gpus} leases began {begun[options.gpus - 1] - begun[0]:.0f} s after the first"
    )
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        at = next(memory for done, memory in watch.memory if done >= share * models)
        print(f"driver: {at:.0f} MiB with {share:.0%} of the models done")
    processes = psutil.Process().children(recursive=True)
    print(f"{len(processes)} processes at the end")
    ray.shutdown()


if __name__ == "__main__":
    main()
