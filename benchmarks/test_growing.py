"""An audit on a head without workers, for which Ray's autoscaler starts two, and ends them when it is over.

    pytest benchmarks/test_growing.py

Not in the test suite for its 50 seconds (2 cores); it needs nothing but the tests' own requirements.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from audits import assert_same_bits, serial_signals, small_config
from heads import free_ports, own_head
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

from raymeter.signals.stored import load_signals
from raymeter.storage.run_store import RunStore


def autoscaling(gcs):
    """Ray's own provider of nodes on this machine, as autoscaler v2 takes it."""
    unused = ["initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray"]
    return {
        **{f"{name}_commands": [] for name in unused},
        **{name: {} for name in ("auth", "docker", "file_mounts")},
        "cluster_synced_files": [],
        "upscaling_speed": 1.0,
        "cluster_name": "growing",
        "max_workers": 2,
        "idle_timeout_minutes": 0.15,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": f"127.0.0.1:{gcs}",
            "launch_multiple": True,
            "head_node_id": FAKE_HEAD_NODE_ID,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
        },
    }


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """Environment of clients of a head that has no CPU itself."""
    (gcs,) = free_ports(1)
    path = tmp_path_factory.mktemp("growing") / "autoscaling.yaml"
    path.write_text(yaml.safe_dump(autoscaling(gcs)))
    fake = {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
    }
    with own_head(gcs, ["--num-cpus=0", f"--autoscaling-config={path}"], fake) as environment:
        tests = os.pathsep.join([str(Path(__file__).parents[1] / "tests"), os.environ.get("PYTHONPATH", "")])
        yield environment | {"RAY_ADDRESS": f"127.0.0.1:{gcs}", "PYTHONPATH": tests}


def test_audit_brings_two_workers_and_lets_them_go(growing, tmp_path):
    """0, then 2, then 0 workers; and the signals are those of a serial loop."""
    config = small_config(tmp_path / "audit", cluster={"max_slots": 2})
    path = tmp_path / "audit.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_none=True)))
    command = [sys.executable, "-m", "growing", str(path), str(tmp_path / "nodes.json")]
    done = subprocess.run(command, env=growing, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    nodes = json.loads((tmp_path / "nodes.json").read_text())
    assert (nodes["all"][0], max(nodes["during"]), nodes["all"][-1]) == (0, 2, 0)
    assert_same_bits(serial_signals(config), load_signals(RunStore.at(config.run.log_dir)).signals)
