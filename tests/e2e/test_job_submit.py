"""`ray job submit -- python -m raymeter.audit ...` on a real head that this test starts and stops by itself."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from audits import assert_same_bits, serial_signals, small_config
from heads import RAY, free_ports, own_head

from raymeter.signals.stored import load_signals
from raymeter.storage.run_store import RunStore

ROOT = Path(__file__).parents[2]
MODULE = """
import os, time
from pathlib import Path
from torch import nn

HERE = Path({here!r})


class Counted(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, classes))

    def forward(self, x):
        if self.training:
            with open(HERE / f"batches-{{os.getpid()}}", "ab") as file:
                file.write(b".")
            if (HERE / "slow").exists():
                time.sleep(0.05)
        return super().forward(x)
"""
EPOCHS, BATCHES = 30, 7  # of 32 of 200 members


@pytest.fixture(scope="module")
def head():
    """Environment for submitting to an own head with token authentication."""
    with own_head(*free_ports(1), ["--num-cpus=2"]) as environment:
        yield environment


def submit(environment, folder, *arguments, module="raymeter.audit", options=()):
    """Submit a job from a folder, waiting until the head can take it."""
    deadline = time.monotonic() + 300
    command = [RAY, "job", "submit", "--working-dir", folder, *options, "--", sys.executable, "-m", module, *arguments]
    while True:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        ready = "No available agent" not in done.stderr and "Failed to connect" not in done.stderr
        if ready or time.monotonic() > deadline:
            return done
        time.sleep(1)


@pytest.fixture(scope="module")
def stopped(head, tmp_path_factory):
    """A job that was stopped while both of its slots were in mid-model: its folder and what it had said."""
    folder = tmp_path_factory.mktemp("stopped")
    (folder / "job").mkdir()
    (folder / "slow").touch()
    (folder / "job/counted_model.py").write_text(MODULE.format(here=str(folder)))
    (folder / "job/audit.yaml").write_text(yaml.safe_dump(counted_config(folder).model_dump(exclude_none=True)))
    ended = []
    thread = threading.Thread(
        target=lambda: ended.append(submit(head, folder / "job", "audit.yaml", options=["--submission-id", "stopped"]))
    )
    thread.start()
    deadline = time.monotonic() + 400
    while len(list(folder.glob("batches-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    subprocess.run([RAY, "job", "stop", "stopped"], env=head, check=True, capture_output=True, timeout=200)
    thread.join()
    (folder / "slow").unlink()
    return folder, ended[0]


def counted_config(folder):
    """An audit whose batches are counted; nothing but the end of a slot makes it save."""
    return small_config(
        folder / "audit",
        train={"model_name": "counted_model:Counted", "epochs": EPOCHS, "checkpoint_interval": 600.0},
    )


def test_stopped_job_has_saved_its_models_within_the_grace(stopped):
    """SIGTERM comes 3 s before SIGKILL: both models are saved in that time, and Ray ends with 0 for a stopped job."""
    folder, done = stopped
    assert len(list(folder.glob("audit/models/*.checkpoint.safetensors"))) == 2
    assert not (folder / "audit/report").exists()
    assert "ended by SIGTERM; finished models are kept" in done.stdout
    assert done.returncode == 0


def test_stopped_job_goes_on_and_a_sweep_reads_it(head, stopped, monkeypatch):
    """Submitted again it repeats no batch and gives the bits of a serial loop; both jobs end with exit code 0."""
    folder, log_dir = stopped[0] / "job", stopped[0] / "audit"
    done = submit(head, folder, "audit.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(path.stat().st_size for path in stopped[0].glob("batches-*")) == 4 * EPOCHS * BATCHES
    monkeypatch.syspath_prepend(folder)
    found = load_signals(RunStore.at(str(log_dir))).signals
    assert_same_bits(serial_signals(counted_config(stopped[0])), found)
    stages = re.findall(r"^(.+) \d+\.\d s$", done.stdout, re.MULTILINE)
    assert stages[0] == "Load Dataset" and stages[-1] == "Perform Privacy Audit"
    assert not re.search(r"[\r\x1b\u2500-\u257f]|it/s", done.stdout.split("Load Dataset ...")[1].split("attack")[0])
    metrics = json.loads((log_dir / "report/metrics.json").read_text())
    assert metrics["provenance"]["cluster"]["cpus"] == 2
    assert len(metrics["attacks"]["rmia"]["targets"]) == 4
    space = [{"attack": "loss", "form": ["log_prob", "confidence"]}, {"attack": "population"}]
    sweep = {"run": {"log_dir": str(log_dir)}, "sweep": {"name": "job", "space": space}}
    (folder / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    done = submit(head, folder, "sweep.yaml", module="raymeter.sweep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 different settings tried on 2 targets" in done.stdout
    assert json.loads((log_dir / "sweep/job/summary.json").read_text())["settings"] == 3


def test_jobs_as_documented(head, tmp_path, monkeypatch):
    """The commands of docs/jobs.md, with a smaller demo: the plan here, then the job on the head that the token opens."""
    text = (ROOT / "docs/jobs.md").read_text()
    export, plan, job = re.search(r"```bash\n(.*?)```", text, re.S)[1].splitlines()
    assert dict(word.split("=", 1) for word in shlex.split(export)[1:]).keys() <= head.keys()
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    small = ["train.epochs=2", "audit.num_ref_models=1"]
    program, *arguments = shlex.split(plan)
    run = [sys.executable, *arguments, *small]
    planned = subprocess.run(run, cwd=tmp_path, env=head, capture_output=True, text=True, timeout=200)
    assert planned.returncode == 0, planned.stderr
    assert (program, "models: 4 in all" in planned.stdout) == ("python", True)
    *command, log_dir = shlex.split(job.replace("/shared/demo", f"{tmp_path}/demo"))
    split = command.index("--")
    assert command[:split] == ["ray", "job", "submit", "--working-dir", "."]
    assert command[split + 1 : split + 4] == ["python", "-m", "raymeter.audit"]
    done = submit(head, tmp_path, *command[split + 4 :], log_dir, *small)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "demo/report/metrics.json").is_file()


def test_submitted_mistake_fails_with_its_line(head, tmp_path):
    """A configuration that was not uploaded makes the job fail with exit code 1, and the one line says why."""
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "audit.yaml").write_text("run: {log_dir: x}\n")
    (folder / ".gitignore").write_text("*.yaml\n")
    done = submit(head, folder, "audit.yaml")
    assert done.returncode == 1
    assert "error: audit.yaml: cannot be read (No such file or directory)" in done.stdout + done.stderr
    assert "files that .gitignore or .rayignore name are not uploaded" in done.stdout + done.stderr


def test_the_token_is_in_no_log(head, stopped):
    """Neither in what Ray and the jobs wrote on the head, nor in what the person saw, nor in the run directory."""
    path = Path(head["RAY_AUTH_TOKEN_PATH"])
    token, logs = path.read_bytes(), [each for each in path.parent.glob("session_*/logs/**/*") if each.is_file()]
    assert any("job-driver" in each.name for each in logs)
    written = [*logs, *(each for each in (stopped[0] / "audit").rglob("*") if each.is_file())]
    assert [each for each in written if token in each.read_bytes()] == []
    assert token.decode() not in stopped[1].stdout + stopped[1].stderr
