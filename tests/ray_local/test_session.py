"""`raymeter.audit` in a session that goes on afterwards: a notebook, a script with a Ray of its own."""

from __future__ import annotations

import logging
import os
import threading

import numpy as np
import psutil
import pytest
import ray
import ray.data
from audits import small_config
from ray._private import services

import raymeter
from raymeter.config.sections import ClusterSection
from raymeter.distributed.session import connected
from raymeter.errors import DataError

LEFT_BY_RAY = ("RAY_AUTH_MODE", "PYTHONBREAKPOINT")  # by its first start in a process, whoever asks for it
QUICK = {"power_curve": False, "blind_baseline": False}


def state() -> tuple[object, ...]:
    """What a Ray that is started later would be changed by."""
    context = ray.data.DataContext.get_current()
    levels = [logging.getLogger(name).level for name in ("ray", "ray.data", "raymeter")]
    environment = {name: value for name, value in os.environ.items() if name not in LEFT_BY_RAY}
    return environment, levels, context.enable_progress_bars, context.execution_no_progress_timeout_s


def test_audits_follow_one_another_and_leave_nothing_behind(tmp_path, monkeypatch):
    """An audit left RAY_BACKEND_LOG_LEVEL and more in the environment: the user's own Ray then behaved, and logged, otherwise."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = small_config(tmp_path, audit=QUICK)
    sections = config.model_dump(mode="json")
    with pytest.raises(DataError, match="do not make a pool of 20000"):
        raymeter.audit({**sections, "data": {**sections["data"], "pool_size": 20_000}})
    before = state()
    first = raymeter.audit(sections)
    assert not ray.is_initialized()
    assert state() == before
    shown = repr(first).splitlines()
    assert shown[0] == "Mean over 4 target models [95 % interval]"
    assert [line.split()[0] for line in shown[1:]] == ["attack", *(attack.name for attack in first.attacks)]
    found = []
    ray.init("local", num_cpus=2, include_dashboard=False)
    try:
        thread = threading.Thread(target=lambda: found.append(raymeter.audit(config)))
        thread.start()
        thread.join()
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    np.testing.assert_array_equal(found[0].attacks[0].scores.values, first.attacks[0].scores.values)


def test_the_first_of_two_to_end_leaves_the_other_its_ray(monkeypatch):
    """Two audits in two threads of one process: the one that ended first shut down the Ray of the other."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    before, inside, ended, found = state(), threading.Event(), threading.Event(), []

    def second():
        with connected(ClusterSection(num_cpus=1)):
            inside.set()
            ended.wait(60)
            found.append(ray.get(ray.remote(lambda: 7).remote()))

    thread = threading.Thread(target=second)
    with connected(ClusterSection(num_cpus=1)):
        thread.start()
        assert inside.wait(60)
    ended.set()
    thread.join(60)
    assert found == [7]
    assert not ray.is_initialized() and state() == before


def running(name: str) -> int:
    """How many processes of this name are below this one."""
    below = psutil.Process().children(recursive=True)
    return sum(p.status() != psutil.STATUS_ZOMBIE and name in p.name() for p in below)


def test_a_start_that_was_too_slow_is_made_again_without_what_it_left(monkeypatch):
    """Ray gives up when its node is up but not yet known; its processes went on beside those of the second start."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    look_up, left = services.get_node, []

    def late_once(*arguments):
        if not left:
            left.append(running("gcs_server"))
            raise Exception("The current node timed out during startup.")
        return look_up(*arguments)

    monkeypatch.setattr(services, "get_node", late_once)
    with connected(ClusterSection(num_cpus=1)):
        assert left == [1]
        assert (running("gcs_server"), running("raylet")) == (1, 1)
        assert ray.get(ray.remote(lambda: 7).remote()) == 7
