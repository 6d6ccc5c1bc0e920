"""Private names of Ray Train; every slot's controller and worker imports them, so they are few."""

from __future__ import annotations

import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from ray.train.v2._internal.execution.callback import WorkerGroupCallback
from ray.train.v2._internal.execution.worker_group import worker_group
from ray.util.placement_group import placement_group

if TYPE_CHECKING:
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

UNNEEDED_CALLBACKS = ("DatasetsCallback", "PlacementGroupCleanerCallback")


class RunCallback(WorkerGroupCallback):
    """Base of a callback that a run's controller calls when workers start, and with what they have come to.

    Private: `ray.train.v2._internal.execution.callback.WorkerGroupCallback`, with what its methods are given: the
    public `UserCallback` hears of reports and errors, not of workers and where they are. Without it no model is
    trained (ImportError).
    """


def name_reservations(prefix: str) -> None:
    """Have Ray Train reserve placement groups with names that begin so, in this process.

    Private: the name `placement_group` in `ray.train.v2._internal.execution.worker_group.worker_group`, which asks it
    for every worker group and passes no name of its own; no public setting does. Were it not asked any more, what a
    slot reserved whose controller died would stay reserved, since nobody could tell whose it is.
    """
    name = f"{prefix}{uuid.uuid4().hex[:8]}"
    worker_group.placement_group = partial(placement_group, name=name)  # type: ignore[attr-defined]


def trainer_with_fewer_processes() -> type[DataParallelTrainer]:
    """The class of a Ray Train run with two processes less.

    Slots get no Ray Datasets, for which an actor would be started, and what a run has reserved is given back by
    `Slots`, for which another one would ask Ray's dashboard every second whether the controller is alive.

    Private: `DataParallelTrainer._create_default_callbacks`, and the names of two of the callbacks; no public setting
    leaves any out. Were the method gone, or the names others, every slot would start two processes more.
    """
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer  # a slot's own processes need none

    class SlotTrainer(DataParallelTrainer):
        def _create_default_callbacks(self) -> list[Any]:
            callbacks = super()._create_default_callbacks()
            return [callback for callback in callbacks if type(callback).__name__ not in UNNEEDED_CALLBACKS]

    return SlotTrainer
