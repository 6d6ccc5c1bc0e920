"""Whole audits with run.log_dir in a bucket: the bits of a local run, resumed after a kill, and nothing left behind."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from audits import SECTIONS, assert_same_bits, small_config
from buckets import BUCKET, KEYS, SECRET, Bucket, s3_server

from raymeter.cli.main import main
from raymeter.config.sections import ClusterSection
from raymeter.distributed.session import connected
from raymeter.distributed.training import train_references as train
from raymeter.pipeline.audit import run
from raymeter.pipeline.console import StageConsole
from raymeter.pipeline.sweep import run_sweep
from raymeter.signals.stored import load_signals
from raymeter.storage.run_store import RunStore
from raymeter.sweep.space import build_sweep

ROOT = Path(__file__).parents[2]
AUDIT = {"attacks": ["loss", "rmia"], "power_curve": False, "blind_baseline": False, "num_ref_models": 2}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """One S3 server for the module; its keys are in the environment before Ray starts."""
    with s3_server(tmp_path_factory.mktemp("moto") / "log") as server:
        yield server


@pytest.fixture(scope="module")
def local_ray(bucket):
    """One embedded Ray for the whole module."""
    with connected(ClusterSection(num_cpus=2)):
        yield


class Listening(StageConsole):
    """A console that keeps what is said under its stages."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def note(self, line: str) -> None:
        self.lines.append(line)


def audit(place: str) -> list[str]:
    """One small audit; returns what it said."""
    config, console = small_config(Path("x"), audit=AUDIT), Listening()
    config = config.model_copy(update={"run": config.run.model_copy(update={"log_dir": place})})
    run(config, RunStore.at(place), console)
    return console.lines


@pytest.fixture(scope="module")
def local(local_ray, tmp_path_factory) -> RunStore:
    """The same audit in a directory."""
    path = tmp_path_factory.mktemp("local") / "run"
    audit(str(path))
    return RunStore.at(str(path))


@pytest.fixture(scope="module")
def remote(local_ray, bucket) -> RunStore:
    """The audit in the bucket, with every thirtieth request turned away."""
    seen = 0

    def fault(method: str, path: str, count: int) -> int | None:
        nonlocal seen
        seen += 1
        return 503 if seen % 30 == 0 else None

    bucket.fault = fault
    audit(bucket.address("run"))
    bucket.fault = lambda method, path, count: None
    return RunStore.at(bucket.address("run"))


def keys_in(bucket: Bucket, prefix: str) -> dict[str, str]:
    """Every object below a prefix with the hash that the server tells."""
    connection = http.client.HTTPConnection("127.0.0.1", bucket.port, timeout=10)
    connection.request("GET", f"/audits?list-type=2&max-keys=1000&prefix={prefix}/")
    text = connection.getresponse().read().decode()
    return dict(re.findall(r"<Key>(.*?)</Key>.*?<ETag>(.*?)</ETag>", text, re.S))


def test_signals_and_report_are_those_of_a_local_run(local, remote, bucket):
    """Bit for bit, and the same files, but for those that tell times."""
    assert_same_bits(load_signals(local).signals, load_signals(remote).signals)
    there = {key.removeprefix("run/") for key in keys_in(bucket, "run") if not key.endswith("/")}
    here = {str(path.relative_to(local.uri)) for path in Path(local.uri).rglob("*") if path.is_file()}
    assert there == here
    for path in ("report/records.parquet", "report/attack_result_average.csv", "models/memberships.npy"):
        assert remote.read(path) == local.read(path)


def test_a_second_run_trains_nothing(remote, bucket):
    """Markers and columns are found by their names; no model is written again."""
    before = keys_in(bucket, "run/models")
    lines = audit(bucket.address("run"))
    assert "6 of 6 models are done already and are reused" in lines
    after = keys_in(bucket, "run/models")
    assert {key: after[key] for key in before if "history" not in key} == {
        key: before[key] for key in before if "history" not in key
    }


def test_commands_of_the_document(local_ray, bucket, tmp_path, monkeypatch, capsys):
    """Both addresses of docs/storage.md lead into this bucket, where their server and bucket are put in: plans, no audits."""
    text = (ROOT / "docs/storage.md").read_text().replace("my-bucket", BUCKET)
    blocks = re.findall(r"```bash\n(.*?)```", text, re.S)
    plain, elsewhere = (shlex.split(block.replace("\\\n", " ")) for block in blocks)
    assert plain[:3] == elsewhere[:3] == ["python", "-m", "raymeter.audit"]
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{bucket.port}")
    before = bucket.count("GET") + bucket.count("HEAD")
    assert main(["audit", *plain[3:], "--dry-run"]) == 0
    between = bucket.count("GET") + bucket.count("HEAD")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    there = [
        each.replace("minio.example.org:9000&scheme=https", f"127.0.0.1:{bucket.port}&scheme=http")
        for each in elsewhere
    ]
    assert main(["audit", *there[3:], "--dry-run"]) == 0
    after = bucket.count("GET") + bucket.count("HEAD")
    assert before < between < after
    assert capsys.readouterr().out.count("16 to train") == 2


def test_keys_are_in_no_file(remote, bucket):
    """Neither the secret nor the key's name is in anything that an audit writes."""
    for key in keys_in(bucket, "run"):
        data = remote.read(key.removeprefix("run/")) or b""
        assert SECRET.encode() not in data and KEYS["AWS_ACCESS_KEY_ID"].encode() not in data, key


def test_models_that_show_late_are_waited_for(local_ray, bucket):
    """The store shows a marker only seconds after it was written: it is neither lost nor trained again."""
    first_asked: dict[str, float] = {}
    written: dict[str, float] = {}

    def fault(method: str, path: str, count: int) -> int | None:
        marker = re.fullmatch(r"/audits/late/models/model_\d\.json", path)
        if marker and method == "PUT":
            written.setdefault(path, time.monotonic())
        elif marker and path in written and time.monotonic() - written[path] < 4:
            first_asked.setdefault(path, time.monotonic())
            return 404
        return None

    bucket.fault = fault
    lines = audit(bucket.address("late"))
    bucket.fault = lambda method, path, count: None
    assert first_asked  # it was asked for while it did not show
    assert lines == []
    store = RunStore.at(bucket.address("late"))
    attempts = train.attempts(store)
    assert sorted(attempt["model"] for attempt in attempts) == list(range(6))


@pytest.mark.parametrize("searcher", ["grid", "optuna"])
def test_sweeps_work_in_a_bucket(remote, local, bucket, searcher):
    """The same rows as in a directory, for a grid; with Optuna, whose snapshot lies there too, all proposals."""
    space = [{"attack": "rmia", "offline_a": [0.1, 0.9] if searcher == "grid" else {"uniform": [0.1, 0.9]}}]
    section = {"name": searcher, "searcher": searcher, "space": space, "samples": 2}
    if searcher == "grid":
        del section["samples"]
    found = [
        run_sweep(build_sweep({"run": {"log_dir": store.uri}, "sweep": section}), store, StageConsole())
        for store in ([local, remote] if searcher == "grid" else [remote])
    ]
    rows = [[row["metric"] for row in result.rows] for result in found]
    assert rows[0] == rows[-1] and len(rows[0]) == 2 and None not in rows[0]
    assert remote.read(f"sweep/{searcher}/best.yaml") and remote.read(f"sweep/{searcher}/metric.png")


def test_a_killed_driver_goes_on(bucket, tmp_path):
    """SIGKILL when the first model is stored; the same command trains only the others."""
    config = {"run": {"log_dir": bucket.address("killed")}, **SECTIONS, "cluster": {"num_cpus": 2}}
    config["audit"] = {**SECTIONS["audit"], **AUDIT, "num_ref_models": 1, "attacks": ["loss"]}
    config["train"] = {**SECTIONS["train"], "epochs": 10}
    file = tmp_path / "audit.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "raymeter.audit", str(file), "--json-logs"]
    environment = {**os.environ, "RAY_TMPDIR": os.environ.get("RAY_TMPDIR", "/tmp")}
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    store, end = RunStore.at(bucket.address("killed")), time.monotonic() + 400
    while not any(key.endswith(".json") and "model_" in key for key in keys_in(bucket, "killed/models")):
        assert time.monotonic() < end and first.poll() is None
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = {k: v for k, v in keys_in(bucket, "killed/models").items() if re.search(r"model_\d\.(json|safetensors)$", k)}
    finished = [key for key in done if key.endswith(".json")]
    second = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, env=environment)
    after = keys_in(bucket, "killed/models")
    for marker in finished:
        weights = marker.replace(".json", ".safetensors")
        assert (after[marker], after[weights]) == (done[marker], done[weights])
    events = [json.loads(line) for line in second.stdout.splitlines() if line.startswith("{")]
    assert any(re.match(r"\d of 4 models are done already", event.get("text", "")) for event in events)
    assert store.read_json("report/metrics.json") is not None
    assert SECRET not in second.stdout + second.stderr
