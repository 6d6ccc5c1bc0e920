"""The embedded Ray: who can reach it, and what a Prometheus server reads from it."""

from __future__ import annotations

import ipaddress
import re
import threading
import time
import urllib.request
from functools import partial
from types import SimpleNamespace

import psutil
import pytest
import ray
from audits import signals_of, small_config

from raymeter.config.sections import ClusterSection
from raymeter.distributed import metrics
from raymeter.distributed.session import connected
from raymeter.pipeline import doctor

RECORDS = 400 + 300  # audited, and of the population


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    """One embedded Ray for the whole module, whose metrics are reported every half second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_metrics_report_interval_ms", "500")
        with connected(ClusterSection(num_cpus=2)):
            yield


class Scraper(threading.Thread):
    """Reads Ray's metrics endpoint again and again, as a Prometheus server does; keeps every value that it saw."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        node = ray.nodes()[0]
        self.url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        self.seen: dict[str, list[float]] = {}
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.2):
            try:
                with urllib.request.urlopen(self.url, timeout=10) as answer:
                    text = answer.read().decode()
            except OSError:  # as a Prometheus server does, which asks again
                continue
            for name, value in re.findall(r"^ray_raymeter_(\w+?)(?:\{.*\})? (\S+)$", text, re.M):
                self.seen.setdefault(name, []).append(float(value))


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> dict[str, list[float]]:
    """What was read from the endpoint while four models were trained and their signals collected."""
    scraper = Scraper()
    scraper.start()
    signals_of(small_config(tmp_path_factory.mktemp("audited")))
    latest = time.monotonic() + 60  # until the agent has told the last values; half a second where nothing else runs
    while scraper.seen.get("records_done", [0])[-1] < RECORDS and time.monotonic() < latest:
        time.sleep(0.2)
    scraper.ended.set()
    scraper.join()
    return scraper.seen


def listening() -> list[tuple[str, str]]:
    """Address of every TCP socket on which this process or one below it listens, and the process."""
    found = []
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            sockets = process.net_connections("tcp")
            found += [(c.laddr.ip, " ".join(process.cmdline())[:80]) for c in sockets if c.status == "LISTEN"]
        except psutil.Error:
            continue  # it has ended meanwhile
    return found


def is_loopback(address: str) -> bool:
    """127.0.0.1, also where it is written as an IPv6 address."""
    ip = ipaddress.ip_address(address)
    return (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def test_an_embedded_ray_listens_on_loopback_only(audited):
    """Nobody else in the network can reach the raylet, the GCS, an agent, a worker or the driver."""
    found = listening()
    assert len(found) >= 5  # raylet, GCS, agents, driver
    assert [each for each in found if not is_loopback(each[0])] == []


def test_metrics_are_on_the_prometheus_endpoint(audited):
    """Models, retries and records, growing to what there was to do, and still there in later stages."""
    assert audited["models_done"][-1] == 4 and audited["models_done"] == sorted(audited["models_done"])
    assert set(audited["models_failed"]) == set(audited["retries"]) == {0}
    assert audited["records_done"][-1] == RECORDS and audited["records_done"] == sorted(audited["records_done"])
    assert audited["records_per_second"][-1] > 0


def test_an_audit_does_not_tell_of_the_one_before_it(monkeypatch):
    """In one process, the records of the last audit were told as done while the next one still trained its models."""
    told = {}
    monkeypatch.setattr(metrics, "Gauge", lambda name, about: SimpleNamespace(set=partial(told.__setitem__, name)))
    monkeypatch.setattr(metrics, "_gauges", {})
    metrics.publish(records_done=RECORDS)
    metrics.begin()
    told.clear()
    metrics.publish(models_done=1)
    assert told == {"raymeter_models_done": 1}


def test_doctor_sees_that_ray_works():
    """A task runs in another process, and the check says how long that took."""
    found = doctor.check_ray()
    assert found.state == "ok" and found.text.startswith("an embedded one starts and works (")
