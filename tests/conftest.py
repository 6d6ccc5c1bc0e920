"""Shared by all tests: annotations are checked, hypothesis profiles."""

from __future__ import annotations

import os
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

RAY = {"cluster", "e2e", "faults", "ray_local", "storage"}  # folders whose tests start a Ray


class OneWorkerForRay(LoadScopeScheduling):
    """With several workers (`-n`), one runs all tests that start a Ray, one after another; other modules stay whole."""

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        return "ray" if RAY & set(path.parts) else str(path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneWorkerForRay:
    """Spread tests over workers so."""
    return OneWorkerForRay(config, log)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations go unchecked, as for users: for tests of what the package itself says of wrong values."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
