"""Whether Ray runs a task at all; for `raymeter doctor`."""

from __future__ import annotations

import os

import ray

TIMEOUT_SECONDS = 120


def process_of_a_task() -> int:
    """The process id in which a task of one CPU ran; expects a connected Ray.

    Raises:
        GetTimeoutError: It did not run within two minutes.
    """
    process: int = ray.get(ray.remote(num_cpus=1)(lambda: os.getpid()).remote(), timeout=TIMEOUT_SECONDS)
    return process
