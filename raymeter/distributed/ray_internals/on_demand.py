"""Private names of Ray behind functions; what they need is imported when they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray


@contextmanager
def loopback_only() -> Iterator[None]:
    """Have a Ray that is started meanwhile listen on 127.0.0.1, as Ray itself does on macOS and Windows.

    Private: `ray._private.ray_constants.ENABLE_RAY_CLUSTER`. The environment variable for it is read when Ray is
    imported, too early to know whether Ray is to be embedded. Were the constant gone, no embedded Ray would start
    (AttributeError); were it not read any more, other machines could reach the ports of an audit, which
    tests/ray_local/test_embedded.py would show.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def end_unfinished_start(error: BaseException) -> None:
    """End the processes of a Ray whose start was ended by this exception: a second start would compete with them.

    Private: `ray._private.node.Node.kill_all_processes`; `ray.init` keeps a node only once it is complete, so that an
    incomplete one is looked for on the exception's way. Were the method gone, such processes would go on until this
    process ends, which takes them with it.
    """
    from ray._private.node import Node

    step = error.__traceback__
    while step is not None:
        node = step.tb_frame.f_locals.get("self")
        if isinstance(node, Node):
            with suppress(Exception):  # it may lack whatever was to be set next
                node.kill_all_processes(check_alive=False, allow_graceful=False)
        step = step.tb_next
    with suppress(Exception):
        ray.shutdown()


def own_processes() -> dict[int, tuple[str, bool]]:
    """Of the Ray that this process has started: process ids of its services, what each is, and whether it is alive.

    Private: `ray._private.worker._global_node` and `Node.all_processes`. Were they gone, nothing would be known:
    a service that dies ends this process after a minute or so, by Ray's own code, and one that is stopped is not
    noticed.
    """
    try:
        services = getattr(ray._private.worker._global_node, "all_processes", {})
        return {
            each.process.pid: (str(kind), each.process.poll() is None)
            for kind, processes in list(services.items())
            for each in list(processes)
        }
    except AttributeError:
        return {}


def found_cluster() -> str | None:
    """host:port of the cluster that Ray means by the address `auto`; None where there is none.

    Private: `ray._private.services.canonicalize_bootstrap_address`; the public way connects at once, and waits for
    minutes where that cluster is dead. Without it the address is handed to Ray as it is.
    """
    try:
        from ray._private.services import canonicalize_bootstrap_address
    except ImportError:
        return "auto"
    try:
        address: str | None = canonicalize_bootstrap_address("auto")
    except ConnectionError:
        return None
    return address


def node_groups() -> list[tuple[dict[str, float], int]]:
    """Resources of a node and the largest number of nodes, for each kind of node that the cluster may start.

    Private: `ray._private.state.state.get_cluster_config`. Ray keeps this for whoever starts nodes to fill in, which
    neither autoscaler of Ray 2.60 does, and has no public function to read it. Without it the list is empty: slots are
    counted by the nodes that are there, and `cluster.max_slots` says how far a cluster may grow.
    """
    try:
        config = ray._private.state.state.get_cluster_config()
    except AttributeError:
        return []
    groups = [] if config is None else config.node_group_configs
    return [(dict(group.resources), max(group.max_count, 0)) for group in groups]


def busy_nodes() -> set[str]:
    """Ids of nodes on which CPUs or GPUs are in use: a task on an idle one would keep an autoscaler from removing it.

    Private: `ray._private.state.available_resources_per_node`; the public `ray.available_resources()` knows sums alone.
    Without it the set is empty, and stopped workers are noticed on the driver's node only.
    """
    try:
        free = ray._private.state.available_resources_per_node()
    except AttributeError:
        return set()
    return {
        node["NodeID"]
        for node in ray.nodes()
        if node["Alive"]
        and any(
            free.get(node["NodeID"], {}).get(name, 0.0) < amount
            for name, amount in node["Resources"].items()
            if name in ("CPU", "GPU")
        )
    }


def draining_nodes() -> set[str]:
    """Ids of nodes that are about to go: a spot node after its notice, a node that the autoscaler removes.

    Private: `ray._private.state.state.get_draining_nodes`; the public `ray.nodes()` lists such nodes as alive. Without
    it the set is empty: their models are not saved before they go, and start again from their last checkpoints.
    """
    try:
        return set(ray._private.state.state.get_draining_nodes())
    except AttributeError:
        return set()


def ignore_rules(folder: Path, name: str) -> Callable[[Path], bool] | None:
    """Whether the rules in a folder's own .gitignore or .rayignore keep a path out of an upload; None without rules.

    Private: `ray._private.runtime_env.packaging._get_ignore_file`. Ray has no public way to ask what a job's upload
    leaves out, and rules read by any other parser could mean something else. Without it there are no rules: nobody is
    warned of files that a submitted job will not find, and the job itself says which one it lacks.
    """
    try:
        from ray._private.runtime_env.packaging import _get_ignore_file
    except ImportError:
        return None
    rules: Callable[[Path], bool] | None = _get_ignore_file(folder, ignore_file=name)
    return rules


def map_whole_blocks(source: Any, function: Any, **options: Any) -> Any:
    """`Dataset.map_batches` whose batches are the blocks of the stream as they are, with or without GPUs.

    Private: `Dataset.map_batches_internal`. The public method refuses batch_size=None where there are GPUs, and any
    number would merge the last, smaller block of a part with others, on which the bits of a signal would depend.
    Without it no signals are computed (AttributeError).

    Args:
        source: A `ray.data.Dataset`.
        function: As `map_batches` takes it; so are the options.
    """
    return source.map_batches_internal(function, batch_size=None, **options)
