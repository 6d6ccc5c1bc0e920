"""Shared by all tests: annotations are checked, hypothesis profiles, and how tests are spread over processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import annotation_checks
import jaxtyping
import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

annotation_checks.install()

settings.register_profile("dev", max_examples=15, derandomize=True, deadline=None)
settings.register_profile("nightly", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

for _signal, _usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(_signal) is signal.SIG_IGN:  # by `nohup`, or by a shell that started this in the background
        signal.signal(_signal, _usual)  # what commands do with them is tested

PROCESSES = 2
RAY = {"cluster", "e2e", "faults", "ray_local", "storage"}  # folders of tests that start a Ray


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run folders in two processes; single files, --pdb, -s, and whatever -n says, are run as they are asked for."""
    option = config.option
    within = "PYTEST_XDIST_WORKER" in os.environ  # this is one of the processes already
    asked = not hasattr(option, "numprocesses") or option.numprocesses is not None or option.dist != "no"
    if within or asked or option.usepdb or option.capture == "no" or option.collectonly:
        return
    if all(argument.partition("::")[0].endswith(".py") for argument in config.args):
        return
    option.numprocesses, option.dist, option.loadscopereorder = PROCESSES, "loadscope", False
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # NumPy's own threads would wait, and spin, for the same cores


class FolderOfARay(LoadScopeScheduling):
    """A folder whose tests start a Ray stays in one process, and so does a module of the others.

    So there are two Rays at once at most. In the order of their names the folders take both processes about as long.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        return next(iter(set(path.parts[:2]) & RAY), str(path))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FolderOfARay:
    """Spread the tests so, with `-n` too."""
    return FolderOfARay(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Annotations go unchecked where a test starts a Ray: its workers have no checks either, and audits are long."""
    jaxtyping.config.update(
        "jaxtyping_disable", bool(RAY & set(item.path.relative_to(Path(__file__).parent).parts[:1]))
    )


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations go unchecked, as for users: for tests of what the package itself says of wrong values."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
