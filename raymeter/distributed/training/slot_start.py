"""What a slot's worker starts with; Ray Train's controllers load this module too, so it is quick to import."""

from __future__ import annotations

from typing import Any

import ray.train.collective

from raymeter.distributed.ray_internals.train_runs import RunCallback, name_reservations
from raymeter.distributed.training.work import TrainingWork
from raymeter.errors import first_line


def train_slot(config: dict[str, Any]) -> None:
    """What a slot's worker runs; loads torch there, and not in the processes that only pass this on.

    Args:
        config: `work`, a TrainingWork, `queue`, the actor that leases models, and `slot`, the slot's name; Ray Train
            takes a dictionary only.
    """
    work: TrainingWork = config["work"]
    queue, slot = config["queue"], config["slot"]
    context = ray.train.get_context()
    rank, workers = context.get_world_rank(), context.get_world_size()
    wanted = rank == 0 and ray.get(queue.start.remote(slot))
    if workers > 1:
        wanted = ray.train.collective.broadcast_from_rank_zero(wanted)
    if not wanted:
        return
    from raymeter.distributed.training.worker import TrainingSlot
    from raymeter.training.trainer import Share

    TrainingSlot(work, queue, slot, Share(rank, workers)).train_leased_models()


def lost_nodes() -> list[str]:
    """Nodes that have died; what ran there has not failed by itself."""
    return [node["NodeID"] for node in ray.nodes() if not node["Alive"]]


class Introduce(RunCallback):
    """Tells the queue of a run's controller and its workers, and gives a name to what it reserves.

    So it can be called off while it waits for a node (Ray Train offers that to Ctrl-C in the main thread only), and
    what it has reserved, or still asks for, can be found and given back should it die.
    """

    def __init__(self, slot: str, queue: Any) -> None:
        self.slot, self.queue = slot, queue

    def before_worker_group_start(self, worker_group_context: Any) -> None:
        """Name the reservation that is to come, and introduce this controller."""
        name_reservations(reservation(self.slot))
        ray.get(self.queue.introduce.remote(self.slot, ray.get_runtime_context().current_actor))

    def after_worker_group_start(self, worker_group: Any) -> None:
        """Say where the workers are."""
        nodes = [worker.metadata.node_id for worker in worker_group.get_workers()]
        ray.get(self.queue.place.remote(self.slot, nodes, lost_nodes()))

    def after_worker_group_poll_status(self, worker_group_status: Any) -> None:
        """Report the workers that have ended with an error."""
        for error in worker_group_status.errors.values():
            reason = f"{type(error).__name__}: {first_line(error, '')}"
            ray.get(self.queue.died.remote(self.slot, reason))


def reservation(slot: str) -> str:
    """How the names of the placement groups of a slot begin."""
    return f"raymeter-{slot}-"
