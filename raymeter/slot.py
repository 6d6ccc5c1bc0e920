"""What a slot's worker starts with; Ray Train's controllers load this module too, so it is quick to import."""

from __future__ import annotations

from typing import Any

import ray


def train_slot(config: dict[str, Any]) -> None:
    """What a slot's worker runs; loads torch there, and not in the processes that only pass this on."""
    queue, slot = config["queue"], config["slot"]
    if not ray.get(queue.start.remote(slot)):
        return
    try:
        from raymeter.workers import TrainingSlot

        work = TrainingSlot(config)
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        ray.get(queue.start_failed.remote(slot, f"{type(error).__name__}: {first_line}"))
        raise
    work.train_leased_models()
