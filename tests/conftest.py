"""Shared by all tests: annotations are checked, hypothesis profiles."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import annotation_checks
import jaxtyping
import pytest
from hypothesis import HealthCheck, settings

annotation_checks.install()

settings.register_profile("dev", max_examples=15, derandomize=True, deadline=None)
settings.register_profile("nightly", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

RAY = {"cluster", "e2e", "faults", "ray_local", "storage"}  # folders whose tests start a Ray


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With several workers (`-n`), one of them runs all tests that start a Ray, one after another; a module stays whole."""
    tests = Path(__file__).parent
    for item in items:
        module = item.path.relative_to(tests) if item.path.is_relative_to(tests) else item.path
        item.add_marker(pytest.mark.xdist_group("ray" if module.parts[0] in RAY else str(module)))


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations go unchecked, as for users: for tests of what the package itself says of wrong values."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
