"""Shared by all tests: annotations are checked, hypothesis profiles."""

from __future__ import annotations

import os
from collections.abc import Iterator

import annotation_checks
import jaxtyping
import pytest
from hypothesis import HealthCheck, settings

annotation_checks.install()

settings.register_profile("dev", max_examples=15, derandomize=True, deadline=None)
settings.register_profile("nightly", max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Annotations go unchecked, as for users: for tests of what the package itself says of wrong values."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
