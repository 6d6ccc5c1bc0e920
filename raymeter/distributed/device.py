"""The device a Ray worker was given."""

from __future__ import annotations

import ray
import torch


def device_of_worker() -> torch.device:
    """The GPU that Ray gave to this worker, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() and ray.get_gpu_ids() else "cpu")
