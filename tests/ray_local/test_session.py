"""`raymeter.audit` in a session that goes on afterwards: a notebook, a script with a Ray of its own."""

from __future__ import annotations

import logging
import os
import threading

import numpy as np
import pytest
import ray
import ray.data
from audits import small_config

import raymeter
from raymeter.errors import DataError

QUICK = {"power_curve": False, "blind_baseline": False}


def state() -> tuple[object, ...]:
    """What a Ray that is started later would be changed by."""
    context = ray.data.DataContext.get_current()
    levels = [logging.getLogger(name).level for name in ("ray", "ray.data", "raymeter")]
    return dict(os.environ), levels, context.enable_progress_bars, context.execution_no_progress_timeout_s


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
