"""The Ray Train runs that train leased models: one worker group each, started, waited for, and cleaned up after."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import ray
from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group

from raymeter.distributed.ray_internals.train_runs import trainer_with_fewer_processes
from raymeter.distributed.tasks import root_cause
from raymeter.distributed.training.slot_start import Introduce, lost_nodes, reservation, train_slot
from raymeter.distributed.training.work import TrainingWork

MOST_SLOTS = 4096
START_SECONDS = 60.0  # after which a slot that is still starting does not keep others waiting


class Slots:
    """The Ray Train runs of one worker group each that are alive.

    Args:
        work: What each of them gets.
        queue: Handle of the actor that leases models, see `Leases`.
        resources: Ray resources of one worker.
        workers: How many train one model together.
        scratch: A directory of this node's, where a run's controller, which is on this node too, keeps its files.
        max_failures: How often the workers of one run may be started again.
    """

    def __init__(
        self,
        work: TrainingWork,
        queue: Any,
        resources: Mapping[str, float],
        workers: int,
        scratch: str,
        max_failures: int,
    ) -> None:
        self.work, self.queue, self.resources, self.workers = work, queue, dict(resources), workers
        self.scratch, self.max_failures = scratch, max_failures
        self.name, self.trainer = uuid.uuid4().hex[:8], trainer_with_fewer_processes()
        self.pool = ThreadPoolExecutor(MOST_SLOTS)
        self.runs: dict[str, Future[None]] = {}
        self.begun: dict[str, float] = {}
        self.errors: list[str] = []
        self.started = 0

    def start(self, count: int) -> None:
        """Start so many more."""
        for _ in range(count):
            slot = f"{self.name}-{self.started}"
            self.started += 1
            self.begun[slot] = time.monotonic()
            self.runs[slot] = self.pool.submit(self._run, slot)

    def starting(self, introduced: Collection[str]) -> int:
        """How many have not got as far as asking for a node; those that take too long for that do not count."""
        latest = time.monotonic() - START_SECONDS
        return sum(slot not in introduced and self.begun[slot] > latest for slot in self.runs)

    def wait(self, seconds: float) -> None:
        """Wait until one ends, at most so long; forget those that have ended."""
        if not self.runs:
            time.sleep(seconds)
        ended, _ = wait(self.runs.values(), timeout=seconds, return_when=FIRST_COMPLETED)
        for slot, run in list(self.runs.items()):
            if run in ended:
                del self.runs[slot], self.begun[slot]
                if error := run.exception():
                    self.errors.append(root_cause(getattr(error, "controller_failure", error)))

    def call_off(self) -> None:
        """End those that still wait for a node or wind down; their placement groups go with them."""
        for controller in ray.get(self.queue.controllers.remote()):
            ray.kill(controller)

    def abandon(self) -> None:
        """Wait for none of them."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, slot: str) -> None:
        """One Ray Train run; blocks until its worker finds nothing to do."""
        scaling = ScalingConfig(
            num_workers=self.workers, use_gpu="GPU" in self.resources, resources_per_worker=self.resources
        )
        options: dict[str, Any] = {}
        if self.workers > 1:
            from ray.train.torch import TorchConfig  # loads torch

            options["backend_config"] = TorchConfig()
        broken = True
        try:
            self.trainer(
                train_slot,
                train_loop_config={"work": self.work, "queue": self.queue, "slot": slot},
                scaling_config=scaling,
                run_config=RunConfig(  # type: ignore[arg-type]
                    name=f"slot-{slot}",
                    storage_path=self.scratch,
                    failure_config=FailureConfig(max_failures=self.max_failures),
                    logging_config=LoggingConfig(log_level="ERROR"),
                    callbacks=[Introduce(slot, self.queue)],  # type: ignore[list-item]
                ),
                **options,
            ).fit()
            broken = False
        finally:
            if ray.is_initialized():  # not so after an interrupt
                ray.get(self.queue.release.remote(slot, lost_nodes(), broken=broken))
                give_back(slot)


def give_back(slot: str) -> None:
    """Remove what a slot that has ended has reserved or asks for; a run does so itself, unless its controller died."""
    for key, about in placement_group_table().items():
        if about["name"].startswith(reservation(slot)) and about["state"] != "REMOVED":
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(key))))
