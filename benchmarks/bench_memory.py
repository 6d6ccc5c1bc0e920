"""How much memory an audit of data larger than its limit takes: 5,000,000 records, 16 models, one machine.

    python benchmarks/bench_memory.py [--records 5000000] [--features 16] [--models 16] [--out FILE.md]

A synthetic Parquet dataset is written to a temporary directory, `python -m raymeter.audit` runs on it in a process of
its own, and once a second the proportional set sizes (PSS) of that process and of all that it started are summed:
driver, Ray's workers, raylet, GCS and, as shared pages, the object store. What an idle Ray takes is subtracted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

GIB = 2**30
ROW_GROUP, FILES = 131_072, 5
KINDS = ("Pss", "Pss_Anon", "Pss_File", "Pss_Shmem")


def tiny(input_shape: tuple[int, ...], num_classes: int) -> Any:
    """The model of the benchmark: one hidden layer of 32 units."""
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0], 32), nn.ReLU(), nn.Linear(32, num_classes))


def write_data(folder: Path, records: int, features: int, classes: int) -> int:
    """Features and a label that depends on them with noise, in several files; returns their bytes."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    weights = rng.normal(size=(features, classes)).astype(np.float32)
    folder.mkdir()
    for number, size in enumerate(len(part) for part in np.array_split(np.empty(records, np.int8), FILES)):
        x = rng.standard_normal((size, features), dtype=np.float32)
        y = (x @ weights + 2 * rng.gumbel(size=(size, classes))).argmax(axis=1).astype(np.int8)
        columns = {f"f{i:02}": x[:, i] for i in range(features)} | {"y": y}
        parquet.write_table(pa.table(columns), folder / f"part_{number}.parquet", row_group_size=ROW_GROUP)
    return sum(path.stat().st_size for path in folder.iterdir())


def pss(process: int) -> dict[str, int]:
    """Bytes of one process by kind of page, or nothing where it has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    except (OSError, ProcessLookupError):
        return {}
    found = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return {kind: found[kind] for kind in KINDS}


class Sampler:
    """Sums PSS over a process and all of its descendants, once a second, and keeps the largest sum of each stage."""

    def __init__(self, process: int, without_root: bool = False) -> None:
        self.process, self.without_root = process, without_root
        self.samples: list[tuple[float, int, dict[str, int], dict[str, int]]] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        import psutil

        while not self.ended.wait(1.0):
            try:
                root = psutil.Process(self.process)
                tree = root.children(recursive=True) + ([] if self.without_root else [root])
            except psutil.NoSuchProcess:
                return
            kinds, names = dict.fromkeys(KINDS, 0), {}
            for each in tree:
                found = pss(each.pid)
                for kind, size in found.items():
                    kinds[kind] += size
                name = "driver" if each.pid == self.process else _name(each)
                names[name] = names.get(name, 0) + found.get("Pss", 0)
            self.samples.append((time.time(), kinds["Pss"], kinds, names))

    def stop(self) -> None:
        self.ended.set()
        self.thread.join()


def _name(process: Any) -> str:
    import psutil

    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return "ended"
    known = ("raylet", "gcs_server", "dashboard", "log_monitor", "monitor.py", "runtime_env")
    return line.split()[0] if line.startswith("ray::") else next((name for name in known if name in line), "other")


def idle_ray(cpus: int) -> int:
    """PSS of what an idle Ray starts, without the process that started it."""
    code = f"import ray, time; ray.init(num_cpus={cpus}, include_dashboard=False, log_to_driver=False); time.sleep(20)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sampler = Sampler(child.pid, without_root=True)
    child.wait()
    sampler.stop()
    return sorted(total for _, total, _, _ in sampler.samples)[int(0.75 * len(sampler.samples))]


def config(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "run": {"log_dir": str(folder / "audit")},
        "audit": {"num_ref_models": options.models // 2 - 1, "batch_size": 8192},
        "train": {
            "model_name": "bench_memory:tiny",
            "optimizer": "AdamW",
            "learning_rate": 0.002,
            "batch_size": 2048,
            "epochs": 1,
        },
        "data": {"dataset": "arrays", "path": str(folder / "data"), "in_memory_limit": options.limit},
        "cluster": {"num_cpus": options.cpus},
    }


def measure(folder: Path, options: argparse.Namespace) -> tuple[Sampler, int, float, str]:
    (folder / "audit.yaml").write_text(json.dumps(config(folder, options)))  # JSON is YAML
    places = [str(Path(__file__).resolve().parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    start = time.time()
    command = [sys.executable, "-m", "raymeter.audit", str(folder / "audit.yaml")]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    sampler = Sampler(child.pid)
    assert child.stdout is not None
    said = []
    for line in child.stdout:
        print(f"{time.time() - start:7.1f} s  {line}", end="", flush=True)
        said.append(line)
    code = child.wait()
    sampler.stop()
    return sampler, code, time.time() - start, "".join(said)


def report(options: argparse.Namespace, folder: Path, data: int, idle: int, found: Any) -> str:
    sampler, code, seconds, said = found
    peak = max(sampler.samples, key=lambda sample: sample[1])
    timings = {}
    log = folder / "audit/report/log_time_analysis.log"
    if log.is_file():
        timings = dict(line.rsplit(": ", 1) for line in log.read_text().splitlines())
    parts = sorted(peak[3].items(), key=lambda item: -item[1])[:8]
    gib: Callable[[float], str] = lambda size: f"{size / GIB:.2f}"  # noqa: E731
    lines = [
        f"| records x features x models | {options.records:,} x {options.features} x {options.models} |",
        f"| Parquet files | {gib(data)} GiB; limit {options.limit / 2**20:.0f} MiB |",
        f"| exit code, seconds | {code}, {seconds:.0f} |",
        f"| **peak PSS of driver, workers, Ray and object store** | **{gib(peak[1])} GiB** |",
        f"| idle Ray | {gib(idle)} GiB |",
        f"| **above idle Ray** | **{gib(peak[1] - idle)} GiB** |",
        "| pages at the peak | "
        + ", ".join(f"{kind.removeprefix('Pss_')} {gib(size)}" for kind, size in peak[2].items() if kind != "Pss")
        + " GiB |",
        "| processes at the peak | " + ", ".join(f"{name} {gib(size)}" for name, size in parts) + " GiB |",
        f"| peak at | {peak[0] - sampler.samples[0][0]:.0f} s of {len(sampler.samples)} samples |",
        *(f"| {stage} | {took} |" for stage, took in timings.items()),
    ]
    return "| what | measured |\n|---|---|\n" + "\n".join(lines) + "\n\n```\n" + said + "```\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=5_000_000)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--classes", type=int, default=4)
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--limit", type=int, default=64 * 2**20)
    parser.add_argument("--keep", help="a directory for data and run directory, kept afterwards")
    parser.add_argument("--samples", help="write all samples there as JSON")
    parser.add_argument("--out", help="write the table there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(options.keep or temporary)
        folder.mkdir(exist_ok=True)
        size = sum(path.stat().st_size for path in (folder / "data").glob("*"))
        size = size or write_data(folder / "data", options.records, options.features, options.classes)
        idle = idle_ray(options.cpus)
        found = measure(folder, options)
        if options.samples:
            Path(options.samples).write_text(json.dumps(found[0].samples))
        text = report(options, folder, size, idle, found)
    python, cores = platform.python_version(), os.cpu_count()
    text = f"{cores} cores, Python {python}, `{' '.join(['python', *sys.argv])}`\n\n{text}"
    print(text)
    if options.out:
        Path(options.out).write_text(text)
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
