"""What models ask for, what a cluster has, and how many slots fit into it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import ray

from raymeter.config.sections import ClusterSection
from raymeter.distributed.ray_internals.on_demand import draining_nodes, node_groups
from raymeter.distributed.session import is_embedded


def model_resources(asked: Mapping[str, float] | None) -> dict[str, float]:
    """Ray resources of one model: as configured, else one CPU, and one GPU where the cluster has any."""
    if asked:
        return dict(asked)
    return {"CPU": 1.0, "GPU": 1.0} if ray.cluster_resources().get("GPU") else {"CPU": 1.0}


def count_slots(resources: Mapping[str, float], models: int, max_slots: int | None = None, workers: int = 1) -> int:
    """How many models fit on the cluster at once, at least one, at most as many as there are models.

    What fits is what the nodes hold that are there and stay, or what the autoscaler may bring, if that is more:
    waiting placement groups and actors are what makes it bring nodes.
    """
    return max(1, min(max(_fitting(resources), _promised(resources)) // workers, models, max_slots or models))


def slots_to_start(resources: Mapping[str, float], models: int, cluster: ClusterSection, workers: int = 1) -> int:
    """How many slots train, or actors collect: what fits, or `cluster.max_slots` where Ray was not started here.

    A cluster that grows on demand may not say how far (Ray's own autoscalers do not); it grows because more are asked
    for. Slots for which there never is room wait, and are called off when the models are done.
    """
    if cluster.max_slots and not is_embedded(cluster):
        return min(cluster.max_slots, models)
    return count_slots(resources, models, cluster.max_slots, workers)


def fits_now(resources: Mapping[str, float]) -> bool:
    """Whether any node that is there at present can hold one worker."""
    return _fitting(resources) > 0


def _fitting(resources: Mapping[str, float]) -> int:
    leaving = draining_nodes()
    nodes = [node for node in ray.nodes() if node["Alive"] and node["NodeID"] not in leaving]
    return sum(_times(node["Resources"], resources) for node in nodes)


def _promised(resources: Mapping[str, float]) -> int:
    """How many workers the nodes hold that the cluster may start at most; 0 where it does not say."""
    return sum(_times(of_node, resources) * most_nodes for of_node, most_nodes in node_groups())


def _times(there: Mapping[str, float], wanted: Mapping[str, float]) -> int:
    """How often what is wanted fits into what is there."""
    return min((math.floor(there.get(name, 0.0) / amount + 1e-9) for name, amount in wanted.items()), default=1)
