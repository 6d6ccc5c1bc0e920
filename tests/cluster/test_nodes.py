"""An audit on a cluster of three nodes that are taken away while it runs; each node has a GPU by name."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import ray
from audits import assert_same_bits, serial_signals, signals_of, small_config
from ray._private.internal_api import node_stats
from ray.cluster_utils import Cluster

from raymeter.config.sections import ClusterSection
from raymeter.distributed.session import connected
from raymeter.schema.reporter import Silent
from raymeter.storage.run_store import RunStore

RAY = str(Path(sys.executable).with_name("ray"))
HALF_A_GPU = {"CPU": 1.0, "GPU": 0.5}
EPOCHS = 40
SETTINGS = {
    # A lost node is noticed after 3 seconds instead of 15 and more.
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 6,
    # Signals stay on the node that computed them, until the driver asks for them, as those of large audits do.
    "max_direct_call_object_size": 8000,
}


def audit_on_nodes(path):
    """Four models of some seconds each, two at once; 14 blocks of records."""
    return small_config(
        path,
        audit={"batch_size": 50, "logits": True},
        train={"model_name": "audits:Unhurried", "epochs": EPOCHS, "resources_per_model": HALF_A_GPU},
        data={"dataset": "audits:large_digits"},
        cluster={"max_slots": 2},
    )


class Director(Silent):
    """Takes nodes away in the middle of an audit: one is called back and one lost in training, one in collecting."""

    def __init__(self, cluster, path):
        super().__init__()
        self.cluster, self.path, self.told = cluster, path, []
        self.spot, self.weak = (cluster.add_node(num_cpus=1, num_gpus=1) for _ in range(2))
        self.strong, self.shipped, self.saved = None, 0, {}
        self.scene = self.disturb_training

    def progress(self, done, total, what):
        self.told.append((what, done))
        self.scene(what)

    def checkpoints(self, since=0.0):
        """What was saved since then of models in training."""
        found = self.path.glob("models/model_*.checkpoint.safetensors")
        return [path for path in found if path.stat().st_mtime > since]

    def disturb_training(self, what):
        """Both slots are in mid-model: one node gets its notice, the other is lost, and one comes with room for both."""
        if len(self.checkpoints()) < 2:
            return
        self.strong = self.cluster.add_node(num_cpus=2, num_gpus=1)
        subprocess.run(
            [RAY, "drain-node", "--address", self.cluster.address, "--node-id", self.spot.node_id]
            + ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
            + ["--deadline-remaining-seconds", "600"],
            check=True,
            capture_output=True,
        )
        self.cluster.remove_node(self.weak, allow_graceful=False)
        self.since, self.scene = time.time(), self.end_of_notice

    def end_of_notice(self, what):
        """The model of the node that was called back is saved and given back: the node goes."""
        if any("its slot was called back" in line for line in self.lines):
            self.cluster.remove_node(self.spot)
            self.since, self.scene = time.time(), self.look_at_the_store

    def look_at_the_store(self, what):
        """Both slots are at work on the strong node."""
        if len(self.checkpoints(self.since)) > 1:
            self.shipped = store_of(self.strong).cumulative_created_bytes
            self.scene = self.disturb_collecting

    def disturb_collecting(self, what):
        """The first records have come: their node goes with both actors and with signals that nobody fetched yet."""
        if what == "records":
            self.cluster.add_node(num_cpus=2, num_gpus=1)
            self.cluster.remove_node(self.strong, allow_graceful=False)
            self.scene = lambda what: None


def store_of(node):
    """What a node's object store has ever held."""
    (found,) = [one for one in ray.nodes() if one["NodeID"] == node.node_id]
    return node_stats(found["NodeManagerAddress"], found["NodeManagerPort"], include_memory_info=False).store_stats


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory):
    """The leases of the disturbed audit, its director and its signals."""
    path = tmp_path_factory.mktemp("nodes") / "audit"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        patch.setenv("AUDITS_PAUSE", "0.02")
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 4, "include_dashboard": False, "_system_config": SETTINGS},
        )
        try:
            with connected(ClusterSection(address=cluster.address)):
                director = Director(cluster, path)
                signals, _ = signals_of(audit_on_nodes(path), director)
            yield RunStore.at(str(path)).read_json("models/history.json")["attempts"], director, signals
        finally:
            cluster.shutdown()


def test_signals_equal_those_of_a_serial_loop(disturbed, tmp_path, monkeypatch):
    """Whatever happened to the nodes, every signal has the bits of models trained and asked one after the other."""
    _, director, signals = disturbed
    assert director.scene.__name__ == "<lambda>"  # all of it happened
    monkeypatch.delenv("AUDITS_PAUSE")
    assert_same_bits(serial_signals(audit_on_nodes(tmp_path)), signals)


def test_each_model_trains_on_a_node_of_its_own_until_there_is_one_for_both(disturbed):
    """Half a GPU and one CPU a model: one on each node of one CPU, two on the node of two, none on the head."""
    leases, director = disturbed[0], disturbed[1]
    first, later = leases[:2], leases[2:]
    assert {lease["node"] for lease in first} == {director.spot.node_id, director.weak.node_id}
    assert {lease["node"] for lease in later} == {director.strong.node_id}
    assert max(sum(o["started"] <= lease["started"] < o["ended"] for o in later) for lease in later) == 2


def test_nodes_that_go_cost_no_attempt(disturbed):
    """The history says why two leases ended early; each of the two models was done by the next one to lease it."""
    leases, director = disturbed[0], disturbed[1]
    outcomes = {lease["node"]: lease["outcome"] for lease in leases[:2]}
    assert outcomes == {
        director.spot.node_id: "its slot was called back",
        director.weak.node_id: "its node was lost",
    }
    assert Counter(lease["outcome"] for lease in leases[2:]) == {"done": 4}
    assert Counter(lease["attempt"] for lease in leases[2:]) == {1: 2, 2: 2}
    assert not any("attempt" in line for line in director.lines)


def test_no_epoch_is_repeated_but_the_one_of_the_lost_node(disturbed):
    """The epochs of all models together never go back by more than what one model did since its last checkpoint."""
    done = [done for what, done in disturbed[1].told if what == "models"]
    assert max(np.maximum.accumulate(done) - done) <= 1 / EPOCHS + 1e-9


def test_records_go_to_a_node_once(disturbed):
    """Two slots of a node share one copy of the records in its object store."""
    dataset = 400 * 64 * 64
    assert dataset <= disturbed[1].shipped < 1.5 * dataset
