"""`raymeter doctor [CONFIG]`: is this machine ready for an audit, and what is to be done where it is not."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raymeter.cli.guard import guarded
from raymeter.errors import RaymeterError

if TYPE_CHECKING:
    from raymeter.config.load import AuditConfig


State = Literal["ok", "warning", "problem"]
OLDEST_PYTHON = (3, 10)
OLDEST = {"ray": (2, 60), "torch": (2, 9)}
SHARED_MEMORY_SHARE = 0.3  # of memory, which Ray would like to use for its object store
FEWEST_FREE = 2 * 2**30  # bytes of disk


@dataclass(frozen=True)
class Finding:
    """What one check found; `remedy` is empty where all is well."""

    check: str
    state: State
    text: str
    remedy: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`. Exit code 1 where there is a problem."""
    parser = argparse.ArgumentParser(
        prog="raymeter doctor", description="Check Python, Ray, torch, GPU, memory, data and storage; say what to do."
    )
    parser.add_argument("config", nargs="?", metavar="CONFIG", help="YAML file whose data and storage are checked too")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a key of the file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_intermixed_args(argv)
    return guarded(lambda: examine(options))


def examine(options: argparse.Namespace) -> int:
    """Run the checks, print what they find."""
    config = None
    if options.config is not None:
        from raymeter.config.load import load_config

        sys.path.insert(0, os.getcwd())
        config = load_config(options.config, options.overrides)
    findings = []
    for finding in checks(config):
        findings.append(finding)
        if not options.json:
            remedy = f"\n          -> {finding.remedy}" if finding.remedy else ""
            print(f"{finding.state:<8}  {finding.check}: {finding.text}{remedy}", flush=True)
    worst = [finding for finding in findings if finding.state == "problem"]
    if options.json:
        print(json.dumps({"findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        print(f"\n{len(worst)} problem{'s' if len(worst) > 1 else ''}" if worst else "\nready for an audit")
    return 1 if worst else 0


def checks(config: AuditConfig | None) -> Iterator[Finding]:
    """All checks in order; each catches what it meets, so that one problem does not hide the next."""
    yield python()
    for package in OLDEST:
        yield version(package)
    yield gpu()
    yield shared_memory()
    yield guard("Ray", start_ray, "see what `python -c 'import ray; ray.init()'` says")
    if config is not None:
        yield guard("cluster", lambda: cluster(config), "check cluster.address and RAY_ADDRESS")
        yield guard("storage", lambda: storage(config), "check run.log_dir")
        yield guard("data", lambda: data(config), "check the data section")
        yield guard("configuration", lambda: fits(config), "")


def guard(check: str, work: Callable[[], Finding], remedy: str) -> Finding:
    """A check's finding, or what it raised as a problem."""
    try:
        return work()
    except RaymeterError as error:
        return Finding(check, "problem", str(error))
    except Exception as error:
        line = (str(error).splitlines() or [""])[0]
        return Finding(check, "problem", f"{type(error).__name__}: {line}", remedy)


def python() -> Finding:
    text = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return Finding("Python", "problem", text, "install Python 3.10 or newer")
    return Finding("Python", "ok", text)


def version(package: str) -> Finding:
    """Whether a package is there and new enough."""
    oldest = ".".join(map(str, OLDEST[package]))
    try:
        found = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return Finding(package, "problem", "not installed", f"pip install '{package}>={oldest}'")
    numbers = tuple(int(part) for part in found.split("+")[0].split(".")[:2] if part.isdigit())
    if numbers < OLDEST[package]:
        return Finding(package, "problem", found, f"pip install -U '{package}>={oldest}'")
    return Finding(package, "ok", found)


def gpu() -> Finding:
    """Which GPUs torch sees; none is fine for small audits."""
    import torch

    if not torch.cuda.is_available():
        there = shutil.which("nvidia-smi") is not None
        if there:
            remedy = "torch sees no GPU although there is a driver: install a torch build for its CUDA version"
            return Finding("GPU", "warning", "none that torch can use", remedy)
        return Finding("GPU", "ok", "none; models train on CPUs")
    names = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return Finding("GPU", "ok", ", ".join(f"{each.name} ({each.total_memory / 2**30:.0f} GiB)" for each in names))


def shared_memory() -> Finding:
    """Whether /dev/shm holds what Ray would put there."""
    place = Path("/dev/shm")
    if not place.is_dir():
        return Finding("/dev/shm", "ok", "not used on this system")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    usage = shutil.disk_usage(place)
    text = f"{usage.free / 2**30:.1f} GiB free, {memory / 2**30:.1f} GiB memory"
    if usage.free < SHARED_MEMORY_SHARE * memory:
        wanted = f"{SHARED_MEMORY_SHARE * memory / 2**30:.0f}g"
        remedy = f"records share less memory than Ray could use: in a container, --shm-size={wanted}"
        return Finding("/dev/shm", "warning", text, remedy)
    return Finding("/dev/shm", "ok", text)


def start_ray() -> Finding:
    """Whether an embedded Ray starts and runs a task."""
    import ray

    from raymeter.config.sections import ClusterSection
    from raymeter.distributed.session import connected

    start = time.perf_counter()
    with connected(ClusterSection(address="local", num_cpus=1)):
        answer = ray.get(ray.remote(num_cpus=1)(lambda: os.getpid()).remote(), timeout=120)
    if answer == os.getpid():
        return Finding("Ray", "problem", "a task ran in this very process", "see whether Ray is in local mode")
    return Finding("Ray", "ok", f"an embedded one starts and works ({time.perf_counter() - start:.0f} s)")


def cluster(config: AuditConfig) -> Finding:
    """What the cluster that the audit would use has."""
    from raymeter.distributed.session import connected, describe_cluster, is_embedded

    if is_embedded(config.cluster):
        return Finding("cluster", "ok", "this machine")
    with connected(config.cluster):
        found = describe_cluster()
    text = ", ".join(f"{value:g} {name}" for name, value in found.items() if isinstance(value, int | float))
    return Finding("cluster", "ok", text)


def storage(config: AuditConfig) -> Finding:
    """Whether the run directory can be written and read, and has room."""
    from raymeter.storage.run_store import RunStore

    store, name = RunStore.at(config.run.log_dir), f".doctor_{uuid.uuid4().hex[:8]}"
    free: int | None
    if store.is_local and not Path(store.uri).exists():
        parent = next(each for each in Path(store.uri).parents if each.exists())
        with tempfile.TemporaryFile(dir=parent):
            free = shutil.disk_usage(parent).free
    else:
        store.write(name, b"written by raymeter doctor")
        found = store.read(name)
        store.delete(name)
        if found is None:
            return Finding("storage", "problem", f"{store.name} does not show what was written", "check the storage")
        free = shutil.disk_usage(store.uri).free if store.is_local else None
    if free is not None and free < FEWEST_FREE:
        return Finding("storage", "warning", f"{store.name}: {free / 2**30:.1f} GiB free", "free some space")
    room = "" if free is None else f", {free / 2**30:.0f} GiB free"
    return Finding("storage", "ok", f"{store.name} can be written{room}")


def data(config: AuditConfig) -> Finding:
    """Whether the records are there; nothing is downloaded."""
    from dataclasses import replace

    from raymeter.data import DOWNLOADABLE, load_dataset
    from raymeter.errors import DataError

    try:
        dataset = load_dataset(replace(config.data_spec(), download=False))
    except DataError as error:
        if config.data.dataset in DOWNLOADABLE and config.data.download:
            return Finding("data", "warning", f"not here yet ({error})", "the audit downloads them")
        raise
    return Finding(
        "data", "ok", f"{dataset.name}: {len(dataset.y)} records to train on, {len(dataset.population_y)} others"
    )


def fits(config: AuditConfig) -> Finding:
    """Whether data, model and attacks suit one another; as the audit itself checks before it starts."""
    from raymeter.pipeline.plan import dry_run

    last = dry_run(config).splitlines()
    return Finding("configuration", "ok", next(line for line in reversed(last) if line))
