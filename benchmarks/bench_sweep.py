"""How fast a sweep is, beside a plain loop and beside one Ray Tune trial per setting.

    python benchmarks/bench_sweep.py [--quick]

A sweep of RMIA settings on random signals: 50,000 records, 32 models of which 16 are selected on, one view. The
loop and the one-trial-per-setting sweep run a part of the settings, and their cost per setting is compared.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path

import numpy as np

from raymeter.config.sections import ClusterSection
from raymeter.distributed.session import connected
from raymeter.pipeline.console import StageConsole
from raymeter.pipeline.sweep import run_sweep
from raymeter.schema.seeds import seed_for
from raymeter.schema.signals import KINDS
from raymeter.signals.stored import assemble, load_signals, save_index
from raymeter.storage.columns import save_column
from raymeter.storage.run_store import RunStore
from raymeter.sweep.evaluate import evaluate
from raymeter.sweep.limits import Limits
from raymeter.sweep.metric import Metric
from raymeter.sweep.sections import SweepConfig
from raymeter.sweep.space import build_sweep, settings_of
from raymeter.sweep.target_halves import divide_targets
from raymeter.training.split import pair_reference


def stored_audit(path: Path, records: int, models: int, points: int) -> RunStore:
    """A run directory with random signals that leak."""
    rng, store = np.random.default_rng(0), RunStore.at(str(path))
    half = rng.random((records, models // 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(records, models)
    columns, found = {}, {}
    for part, side in (("audit", member), ("population", np.zeros((points, models), dtype=bool))):
        hard = rng.normal(size=(len(side), 1))
        gap = (2 * hard + rng.normal(size=side.shape) + 0.5 * side).astype(np.float32)[:, :, None]
        values = np.stack([-np.logaddexp(np.float32(0), -gap), gap])
        columns[part] = [f"{part}_model_{m}" for m in range(models)]
        for m, key in enumerate(columns[part]):
            save_column(store, key, values[:, :, m], {})
        masks = {"reference": pair_reference(models), "targets": np.arange(models), "ids": np.arange(len(side))}
        labels = np.zeros(len(side), dtype=np.int64)
        found[part] = assemble([values[:, :, m] for m in range(models)], side, labels=labels, **masks)
    from raymeter.schema import Signals

    assert tuple(found["audit"]) == KINDS
    save_index(store, Signals(found["audit"], found["population"]), columns, {})
    return store


def config_of(store: RunStore, name: str, samples: int, block: int) -> SweepConfig:
    """RMIA settings drawn at random: a, gamma and both forms."""
    space = [
        {"attack": "rmia", "offline_a": {"uniform": [0.0, 1.0]}},
        {
            "attack": "rmia",
            "form": "count",
            "offline_a": {"uniform": [0.0, 1.0]},
            "gamma": {"loguniform": [1.0, 8.0]},
        },
    ]
    sweep = {"name": name, "searcher": "random", "samples": samples, "block": block, "space": space}
    return build_sweep({"run": {"log_dir": store.uri}, "sweep": sweep})


def timed_sweep(store: RunStore, config: SweepConfig) -> float:
    """Seconds of a whole sweep on a Ray that is there, loading and report included."""
    start = time.perf_counter()
    run_sweep(config, store, StageConsole())
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    quick = parser.parse_args().quick
    records, models, settings, part = (2000, 8, 40, 10) if quick else (50_000, 32, 2000, 60)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        store = stored_audit(Path(folder), records, models, 10_000 if not quick else 500)
        whole = config_of(store, "blocks", settings, 25)
        signals = load_signals(store).signals
        selection, _ = divide_targets(signals, 0.5, seed_for(0, "sweep"))
        start = time.perf_counter()
        for setting in settings_of(whole)[:part]:
            evaluate(setting.attack, signals, selection, Limits(), Metric("auc"), 0)
        loop = (time.perf_counter() - start) / part
        begin = time.perf_counter()
        with connected(ClusterSection(num_cpus=os.cpu_count())):
            started = time.perf_counter() - begin
            blocks = timed_sweep(store, whole)
            single = timed_sweep(store, config_of(store, "singles", part, 1)) / part
    each = blocks / settings
    print(f"\n{settings} settings x {len(selection)} targets x {records} records\n")
    print("| way | settings run | seconds per setting | whole sweep, seconds |\n|---|---|---|---|")
    print(f"| raymeter, blocks of 25 | {settings} | {each:.4f} | {blocks:.0f} (measured) |")
    print(f"| one Tune trial per setting | {part} | {single:.4f} | {single * settings:.0f} (scaled) |")
    print(f"| plain loop, one process | {part} | {loop:.4f} | {loop * settings:.0f} (scaled) |")
    print(f"\nStart of Ray, not included: {started:.1f} s. Against the loop: {loop / each:.2f} times faster; ")
    print(f"against one trial per setting: {single / each:.2f} times faster.")


if __name__ == "__main__":
    main()
