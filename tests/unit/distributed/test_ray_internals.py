"""Ray's private names: each is still there, and only raymeter/distributed/ray_internals uses any."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import raymeter
from raymeter.distributed.ray_internals import on_demand, train_runs

PACKAGE = Path(raymeter.__file__).parent
ROOM = PACKAGE / "distributed" / "ray_internals"
PRIVATE_PARTS = ("_private", "_internal", "_raylet")
# module, attributes of it: all that raymeter reads, replaces or overrides, with what Ray hands to it
NAMES = [
    ("ray._private.ray_constants", "ENABLE_RAY_CLUSTER"),
    ("ray._private.node", "Node.kill_all_processes"),
    ("ray._private.worker", "_global_node"),
    ("ray._private.services", "canonicalize_bootstrap_address"),
    ("ray._private.state", "state.get_cluster_config"),
    ("ray._private.state", "state.get_draining_nodes"),
    ("ray._private.state", "available_resources_per_node"),
    ("ray._private.runtime_env.packaging", "_get_ignore_file"),
    ("ray.data", "Dataset.map_batches_internal"),
    ("ray.train.v2._internal.execution.callback", "WorkerGroupCallback.before_worker_group_start"),
    ("ray.train.v2._internal.execution.callback", "WorkerGroupCallback.after_worker_group_start"),
    ("ray.train.v2._internal.execution.callback", "WorkerGroupCallback.after_worker_group_poll_status"),
    ("ray.train.v2._internal.execution.worker_group", "WorkerGroup.get_workers"),
    ("ray.train.v2._internal.execution.worker_group", "WorkerGroupPollStatus.errors"),
    ("ray.train.v2._internal.execution.worker_group.worker_group", "placement_group"),
    ("ray.train.v2.api.data_parallel_trainer", "DataParallelTrainer._create_default_callbacks"),
]


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_private_name_exists_in_the_installed_ray(module, name):
    """What is gone after an upgrade is named here, and not by an audit that fails."""
    value = importlib.import_module(module)
    for part in name.split("."):
        value = getattr(value, part)


def test_private_attributes_of_ray_objects_are_still_set():
    """Names that only an instance has are looked for in the code that sets them."""
    from ray._private.node import Node
    from ray.train.v2._internal.execution.worker_group import ActorMetadata, Worker
    from ray.train.v2._internal.execution.worker_group.worker_group import WorkerGroup
    from ray.tune.impl.tuner_internal import TunerInternal
    from ray.tune.tuner import Tuner

    assert "self.all_processes: dict =" in inspect.getsource(Node.__init__)
    assert "self._local_tuner =" in inspect.getsource(Tuner)
    assert "self._run_config =" in inspect.getsource(TunerInternal)
    assert "node_id" in ActorMetadata.__dataclass_fields__
    assert "metadata" in Worker.__dataclass_fields__
    assert "= placement_group(" in inspect.getsource(WorkerGroup._create_placement_group)


def test_callbacks_that_slots_leave_out_are_still_ray_trains_own():
    """Under other names they would be kept, and every slot would start two processes more, without a word."""
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    source = inspect.getsource(DataParallelTrainer._create_default_callbacks)
    assert all(f"{name}(" in source for name in train_runs.UNNEEDED_CALLBACKS)


def test_every_private_module_that_is_imported_is_in_the_list():
    """A private import that is added to the room without a name in NAMES would not be checked."""
    listed = {(module, name.partition(".")[0]) for module, name in NAMES}
    listed |= {(module.rpartition(".")[0], module.rpartition(".")[2]) for module, _ in NAMES}
    imported = set()
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and any(part in PRIVATE_PARTS for part in node.module.split(".")):
                imported |= {(node.module, alias.name) for alias in node.names}
    assert imported
    assert imported <= listed


def test_each_name_has_its_reason():
    """The docstring says what is private and what happens without it."""
    values = [value for module in (on_demand, train_runs) for value in vars(module).values()]
    mine = [value for value in values if getattr(value, "__module__", "").startswith("raymeter.distributed.ray_int")]
    assert len(mine) == 12
    for value in mine:
        reason = " ".join(value.__doc__.split())
        assert "Private: " in reason, value
        assert "Without it " in reason or "Were " in reason, value


def private_uses(source: str) -> list[str]:
    """Where a file names something private of Ray: in an import, in a name that begins with `ray.`, on an object."""
    uses = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                uses += [name.name for name in names if _is_private(name.name)]
            case ast.ImportFrom(module=str(module), names=names, level=0):
                uses += [f"{module}.{name.name}" for name in names if _is_private(f"{module}.{name.name}")]
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) if name == "map_batches_internal":
                uses.append(name)
            case ast.Attribute(attr=name) if name.startswith("_") and not name.startswith("__"):
                uses.append(ast.unparse(node))
    return uses


def _is_private(path: str) -> bool:
    parts = path.split(".")
    return parts[0] == "ray" and any(part.startswith("_") and not part.startswith("__") for part in parts)


def test_no_other_file_names_anything_private_of_ray():
    """Whoever raises the bound on Ray has one room to read."""
    used = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent != ROOM:
            find = private_uses if path.is_relative_to(PACKAGE / "distributed") else private_paths
            uses = find(path.read_text())
            used |= {str(path.relative_to(PACKAGE)): uses} if uses else {}
    assert used == {}


def private_paths(source: str) -> list[str]:
    """Where no Ray objects are at hand, an underscore on an object is Python's or the file's own matter."""
    return [use for use in private_uses(source) if _is_private(use) or use == "map_batches_internal"]


@pytest.mark.parametrize(
    "planted",
    [
        "import ray._private.state",
        "from ray._private import ray_constants",
        "from ray._raylet import PlacementGroupID",
        "def f():\n    from ray.train.v2._internal.execution import callback",
        "from ray.util.state import _get",
        "import ray\nray._private.state.state.get_draining_nodes()",
        "tuner._local_tuner.fit()",
        "class T(Base):\n    def f(self):\n        super()._create_default_callbacks()",
        "dataset.map_batches_internal(f)",
    ],
)
def test_a_private_name_elsewhere_is_found(planted):
    """The rule can fail."""
    assert private_uses(planted)


@pytest.mark.parametrize("allowed", ["import ray\nprint(ray.__version__)", "class A:\n    def f(self): self._x()"])
def test_public_names_are_allowed(allowed):
    """Ray's version is public, and so is what a class calls of its own."""
    assert private_uses(allowed) == []
