"""Connect to Ray or start an embedded one, quiet the console, stop cleanly."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import ray.data
import ray.exceptions

from raymeter.config.sections import ClusterSection
from raymeter.distributed.ray_start import connect, find_cluster, start_embedded
from raymeter.distributed.watchman import start_watched, watched
from raymeter.errors import RaymeterError, RunError, type_and_line
from raymeter.errors.endings import ended_by_signals, in_chain
from raymeter.errors.last_word import LAST_WORD, last_word

# Read by Ray when it starts its processes; a value that the user has set wins.
QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
}
# Ray Train polls its workers every 2 s by default, which costs small audits many seconds a run.
# A slot may wait long for a node that is being started: its placement must not time out meanwhile.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "3600",
    # One process a slot less: the driver watches for nodes that are called back, for all slots at once.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}
# Agents of a raylet that was killed with the driver tell that to the GCS, which is gone too, for 60 s by default.
EMBEDDED = {"RAY_gcs_rpc_server_reconnect_timeout_s": "10"}
RAY_LOGGERS = ("ray", "ray.data", "ray.train", "ray.tune")


@contextmanager
def connected(config: ClusterSection, verbose: bool = False) -> Iterator[None]:
    """Use the cluster at `cluster.address` or RAY_ADDRESS, else start an embedded Ray and stop it at the end.

    A Ray that this process already uses is taken as it is and left running; one that is started here is shared by all
    who ask for it meanwhile, in other threads, and the last of them stops it. Nothing is left behind, neither in the
    environment nor in what Ray logs.

    Raises:
        ConfigError: The given address is none of Ray's, or Ray's directory cannot be used.
        RunError: No cluster answers at the given address, Ray does not start, or it ends before the work does.
    """
    # signals twice: ray.init has a handler of its own
    with ended_by_signals(), last_word(LAST_WORD), _shared(config, verbose), ended_by_signals():
        try:
            yield
        except RaymeterError:
            raise
        except Exception as error:
            if (told := in_chain(error, RunError)) is not None:  # Ray's own code wraps what is raised within it
                raise told from None
            if not isinstance(error, ray.exceptions.RayError):
                raise
            raise RunError(
                f"Ray could not go on ({type_and_line(error)}); what is finished is kept: start the same command "
                "again, with --verbose to see more"
            ) from error


class _Shared:
    """The Ray that was started or joined here, if there is one: how many use it, and what puts it away."""

    lock = threading.Lock()
    users = 0
    put_away = ExitStack()


@contextmanager
def _shared(config: ClusterSection, verbose: bool) -> Iterator[None]:
    """Start Ray for the first of those who use it at the same time, and stop it after the last."""
    with _Shared.lock:
        foreign = not _Shared.users and ray.is_initialized()
        if not foreign:
            if not _Shared.users:
                _Shared.put_away = _started(config, verbose)
            _Shared.users += 1
    try:
        yield
    finally:
        if not foreign:
            with _Shared.lock:
                _Shared.users -= 1
                if not _Shared.users:
                    _Shared.put_away.close()


def _started(config: ClusterSection, verbose: bool) -> ExitStack:
    """Ray as it is started or joined; closing the stack leaves nothing behind."""
    address, key = cluster_address(config)
    options: dict[str, Any] = {"log_to_driver": verbose, "logging_level": "INFO" if verbose else "ERROR"}
    with ExitStack() as stack:
        quiet, embedded = {} if verbose else QUIET, {} if address else EMBEDDED
        stack.enter_context(_environment({**ENVIRONMENT, **quiet, **embedded}))
        stack.enter_context(_level_kept("ray"))
        if address is None:
            with start_watched():
                start_embedded({**options, "num_cpus": config.num_cpus, "include_dashboard": False}, verbose)
        else:
            connect(address, key, options, verbose)
        stack.callback(ray.shutdown)
        stack.enter_context(_quiet_libraries(verbose))
        stack.enter_context(watched(address is None))
        return stack.pop_all()


def require_cluster(config: ClusterSection) -> None:
    """See that the cluster answers that `connected` would use, before work that would be in vain; none: nothing to see.

    Raises:
        ConfigError: The given address is none of Ray's.
        RunError: No cluster answers there.
    """
    address, key = cluster_address(config)
    if address is not None and not ray.is_initialized():
        with ended_by_signals():
            find_cluster(address, key)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set what the user has not set, and take it away again: a Ray that this process starts later is the user's own."""
    new = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _level_kept(name: str) -> Iterator[None]:
    """Give a logger its level back, which ray.init sets to what it is asked to show."""
    logger = logging.getLogger(name)
    level = logger.level
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _quiet_libraries(verbose: bool) -> Iterator[None]:
    context = ray.data.DataContext.get_current().copy()
    context.enable_progress_bars = verbose
    context.print_on_execution_start = verbose
    # An autoscaling cluster may need long to bring the first node; waiting is not a failure.
    context.execution_options.verbose_progress = False
    context.execution_no_progress_timeout_s = -1
    before = {} if verbose else {name: logging.getLogger(name).level for name in RAY_LOGGERS}
    for name in before:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with ray.data.DataContext.current(context):
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def cluster_address(config: ClusterSection) -> tuple[str | None, str]:
    """The address of a cluster and where it was given; None where a Ray is to be started here."""
    given, key = config.address, "cluster.address"
    if given is None:
        given, key = os.environ.get("RAY_ADDRESS"), "RAY_ADDRESS"
    return (None if given in (None, "", "local") else given), key


def is_embedded(config: ClusterSection) -> bool:
    """Whether `connected` starts a Ray of its own, which will never grow."""
    return cluster_address(config)[0] is None


def starts_its_own(config: ClusterSection) -> bool:
    """Whether `connected` would start a Ray, and stop it at the end: none is used by this process or asked for."""
    return is_embedded(config) and not ray.is_initialized()


def is_stopped() -> bool:
    """Whether this process uses no Ray at present: nothing that it has begun goes on."""
    return not ray.is_initialized()


def describe_cluster() -> dict[str, Any]:
    """Nodes, CPUs and GPUs, for the report's provenance."""
    resources = ray.cluster_resources()
    return {
        "nodes": sum(node["Alive"] for node in ray.nodes()),
        "cpus": resources.get("CPU", 0.0),
        "gpus": resources.get("GPU", 0.0),
        "ray": ray.__version__,
    }
