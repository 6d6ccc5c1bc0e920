"""`raymeter doctor`: one check after another of whether this machine is ready for an audit."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raymeter.errors import DataError, RaymeterError

if TYPE_CHECKING:
    from raymeter.config.load import AuditConfig

State = Literal["ok", "warning", "problem"]
OLDEST_PYTHON = (3, 10)
OLDEST = {"ray": (2, 60), "torch": (2, 9)}
SHARED_MEMORY_SHARE = 0.3  # of memory, which Ray would like to use for its object store
FEWEST_FREE = 2 * 2**30  # bytes of disk


@dataclass(frozen=True)
class CheckResult:
    """What one check found; `remedy` is empty where all is well."""

    check: str
    state: State
    text: str
    remedy: str = ""


def check_all(config: AuditConfig | None) -> Iterator[CheckResult]:
    """All checks in order; each catches what it meets, so that one problem does not hide the next.

    Nothing but the standard library is imported before it is checked: it may be what is missing.
    """
    yield check_python()
    for package in OLDEST:
        yield check_package(package)
    yield check_gpu()
    yield check_shared_memory()
    yield _caught("Ray", check_ray, "see what `python -c 'import ray; ray.init()'` says")
    if config is not None:
        yield _caught("cluster", lambda: check_cluster(config), "check cluster.address and RAY_ADDRESS")
        yield _caught("storage", lambda: check_storage(config), "check run.log_dir")
        yield _caught("data", lambda: check_data(config), "check the data section")
        yield _caught("configuration", lambda: check_configuration(config), "")


def _caught(check: str, work: Callable[[], CheckResult], remedy: str) -> CheckResult:
    """The result of a check, or what it raised as a problem."""
    try:
        return work()
    except RaymeterError as error:
        return CheckResult(check, "problem", str(error))
    except Exception as error:
        line = (str(error).splitlines() or [""])[0]
        return CheckResult(check, "problem", f"{type(error).__name__}: {line}", remedy)


def check_python() -> CheckResult:
    """Whether Python is new enough."""
    text = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return CheckResult("Python", "problem", text, "install Python 3.10 or newer")
    return CheckResult("Python", "ok", text)


def check_package(package: str) -> CheckResult:
    """Whether a package of OLDEST is there and new enough."""
    oldest = ".".join(map(str, OLDEST[package]))
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return CheckResult(package, "problem", "not installed", f"pip install '{package}>={oldest}'")
    numbers = tuple(int(part) for part in version.split("+")[0].split(".")[:2] if part.isdigit())
    if numbers < OLDEST[package]:
        return CheckResult(package, "problem", version, f"pip install -U '{package}>={oldest}'")
    return CheckResult(package, "ok", version)


def check_gpu() -> CheckResult:
    """Which GPUs torch sees; none is fine for small audits."""
    import torch

    if not torch.cuda.is_available():
        if shutil.which("nvidia-smi") is not None:
            remedy = "torch sees no GPU although there is a driver: install a torch build for its CUDA version"
            return CheckResult("GPU", "warning", "none that torch can use", remedy)
        return CheckResult("GPU", "ok", "none; models train on CPUs")
    devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    names = (f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in devices)
    return CheckResult("GPU", "ok", ", ".join(names))


def check_shared_memory() -> CheckResult:
    """Whether /dev/shm holds what Ray would put there."""
    place = Path("/dev/shm")
    if not place.is_dir():
        return CheckResult("/dev/shm", "ok", "not used on this system")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    usage = shutil.disk_usage(place)
    text = f"{usage.free / 2**30:.1f} GiB free, {memory / 2**30:.1f} GiB memory"
    if usage.free < SHARED_MEMORY_SHARE * memory:
        wanted = f"{SHARED_MEMORY_SHARE * memory / 2**30:.0f}g"
        remedy = f"records share less memory than Ray could use: in a container, --shm-size={wanted}"
        return CheckResult("/dev/shm", "warning", text, remedy)
    return CheckResult("/dev/shm", "ok", text)


def check_ray() -> CheckResult:
    """Whether an embedded Ray starts and runs a task in a process of its own."""
    from raymeter.config.sections import ClusterSection
    from raymeter.distributed.session import connected
    from raymeter.distributed.task_check import process_of_a_task

    start = time.perf_counter()
    with connected(ClusterSection(address="local", num_cpus=1)):
        process = process_of_a_task()
    if process == os.getpid():
        return CheckResult("Ray", "problem", "a task ran in this process itself", "see whether Ray is in local mode")
    return CheckResult("Ray", "ok", f"an embedded one starts and works ({time.perf_counter() - start:.0f} s)")


def check_cluster(config: AuditConfig) -> CheckResult:
    """What the cluster that the audit would use has."""
    from raymeter.distributed.session import connected, describe_cluster, is_embedded

    if is_embedded(config.cluster):
        return CheckResult("cluster", "ok", "this machine")
    with connected(config.cluster):
        resources = describe_cluster()
    text = ", ".join(f"{value:g} {name}" for name, value in resources.items() if isinstance(value, int | float))
    return CheckResult("cluster", "ok", text)


def check_storage(config: AuditConfig) -> CheckResult:
    """Whether the run directory can be written and read, and has room."""
    from raymeter.storage.run_store import RunStore

    store, name = RunStore.at(config.run.log_dir), f".doctor_{uuid.uuid4().hex[:8]}"
    free: int | None
    if store.is_local and not Path(store.uri).exists():
        parent = next(folder for folder in Path(store.uri).parents if folder.exists())
        with tempfile.TemporaryFile(dir=parent):
            free = shutil.disk_usage(parent).free
    else:
        store.write(name, b"written by raymeter doctor")
        content = store.read(name)
        store.delete(name)
        if content is None:
            problem = f"{store.name} does not return what was written to it"
            return CheckResult("storage", "problem", problem, "check the storage")
        free = shutil.disk_usage(store.uri).free if store.is_local else None
    if free is not None and free < FEWEST_FREE:
        return CheckResult("storage", "warning", f"{store.name}: {free / 2**30:.1f} GiB free", "free some space")
    room = "" if free is None else f", {free / 2**30:.0f} GiB free"
    return CheckResult("storage", "ok", f"{store.name} can be written{room}")


def check_data(config: AuditConfig) -> CheckResult:
    """Whether the records are there; nothing is downloaded."""
    from raymeter.data import DOWNLOADABLE, load_dataset

    try:
        dataset = load_dataset(replace(config.data_spec(), download=False))
    except DataError as error:
        if config.data.dataset in DOWNLOADABLE and config.data.download:
            return CheckResult("data", "warning", f"not here yet ({error})", "the audit downloads them")
        raise
    text = f"{dataset.name}: {len(dataset.y)} records to train on, {len(dataset.population_y)} others"
    return CheckResult("data", "ok", text)


def check_configuration(config: AuditConfig) -> CheckResult:
    """Whether data, model and attacks suit one another; as the audit itself checks before it starts."""
    from raymeter.pipeline.dry_run import dry_run

    plan = dry_run(config).splitlines()
    return CheckResult("configuration", "ok", next(line for line in reversed(plan) if line))
