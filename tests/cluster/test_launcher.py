"""The launcher's files under Ray's own eyes: its schema, its command line, and how many slots a cluster gets."""

from __future__ import annotations

import copy
import re
import shlex

import jsonschema
import pytest
import ray
from manifests import CLUSTER, LAUNCHERS, SCHEMAS, keys, load, renamed
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import cli, start

from raymeter.config.sections import ClusterSection
from raymeter.distributed import resources

# What Ray leaves open, and only our own schema checks.
OPEN = ("provider", "node_config", "resources", "file_mounts")
OPTIONS = {option for parameter in start.params for option in parameter.opts}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_ray_accepts_the_file(name):
    """As `ray up` reads it: with Ray's defaults filled in, then Ray's schema and rules."""
    config = prepare_config(load(name))
    validate_config(config)
    assert config["available_node_types"]["head"]["max_workers"] == 0
    assert not any("pip install" in command for command in config["head_setup_commands"])


@pytest.mark.parametrize("name", LAUNCHERS)
def test_ray_finds_typos_where_it_looks(name):
    """Ray's schema itself refuses each renamed key outside the parts that it leaves open."""
    for path in keys(load(name)):
        if any(part in OPEN for part in path[:-1]) or path[-1] in load(name)["available_node_types"]:
            continue
        config = copy.deepcopy(load(name))
        renamed(config, path, f"{path[-1]}x")
        with pytest.raises((jsonschema.ValidationError, ValueError, KeyError, AssertionError)):
            validate_config(prepare_config(config))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("max_workers",), "8"),
        (("head_node_type",), "heads"),
        (("available_node_types", "gpu_spot", "resources", "GPU"), 0.5),
        (("available_node_types", "gpu_spot", "min_workers"), 9),
        (("docker", "container_name"), ""),
    ],
)
def test_ray_refuses_wrong_values(path, value):
    """Wrong types and impossible numbers."""
    config = load("aws.yaml")
    holder = config
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value
    with pytest.raises((jsonschema.ValidationError, ValueError, AssertionError)):
        validate_config(prepare_config(config))


def ray_start_options():
    """(file, option) for every option that the files give to `ray start`."""
    for name in SCHEMAS:
        document = load(name)
        if name in LAUNCHERS:
            for role in ("head", "worker"):
                command = document[f"{role}_start_ray_commands"][-1].split("ray start ", 1)[1]
                yield from ((name, word.split("=")[0]) for word in shlex.split(command))
        else:
            spec = document["spec"].get("rayClusterSpec", document["spec"])
            for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
                yield from ((name, f"--{key}") for key in group["rayStartParams"])


def test_ray_start_knows_every_option():
    """A misspelt option would end each machine after it was paid for."""
    given = set(ray_start_options())
    assert len(given) > 10
    assert {(name, option) for name, option in given if option not in OPTIONS} == set()
    assert "--object-store-memoryx" not in OPTIONS


def test_readme_uses_commands_and_options_that_ray_has():
    """Every `ray ...` of the README, in blocks and in the text."""
    text = re.sub(r"\\\n\s*", "", (CLUSTER / "README.md").read_text())
    used = re.findall(r"(?:^\s*|`|\$\()(ray [a-z].*?)(?:`| > | && |$)", text, re.MULTILINE)
    assert len(used) > 10
    for line in used:
        words, command = shlex.split(line.split(" -- ")[0])[1:], cli
        while hasattr(command, "get_command"):
            name = words.pop(0)
            command = command.get_command(None, name)
            assert command is not None, line
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        assert {word.split("=")[0] for word in words if word.startswith("-")} <= known, line


def test_installed_ray_is_the_files_ray():
    """What was checked here is checked for the Ray that the files run."""
    version = load("kuberay/raycluster.yaml")["spec"]["rayVersion"]
    assert re.match(r"\d+\.\d+", ray.__version__)[0] == re.match(r"\d+\.\d+", version)[0]


@pytest.mark.parametrize(
    ("address", "asked", "fitting", "slots"),
    [
        ("ray://head:10001", 8, 0, 8),  # the cluster grows because eight are asked for
        ("ray://head:10001", 8, 2, 8),
        ("ray://head:10001", 100, 0, 64),  # never more than models
        ("ray://head:10001", None, 3, 3),
        ("ray://head:10001", None, 0, 1),
        (None, 8, 2, 2),  # a Ray of our own never grows
        (None, 1, 2, 1),
    ],
)
def test_slots_of_a_growing_cluster(monkeypatch, address, asked, fitting, slots):
    """`cluster.max_slots` is asked of a cluster, although it shows no room yet; on one machine it is a limit."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(resources, "_fitting", lambda resources: fitting)
    monkeypatch.setattr(resources, "_promised", lambda resources: 0)
    cluster = ClusterSection(address=address, max_slots=asked)
    assert resources.slots_to_start({"GPU": 1.0}, 64, cluster) == slots
