"""The command as a user types it: what it prints, what it leaves behind, how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from raymeter.attacks import lira_scores, loss_scores, rmia_scores
from raymeter.schema import SignalMatrix
from raymeter.schema.signals import KINDS
from raymeter.stats import auc_and_variance
from raymeter.training.split import make_split

ROOT = Path(__file__).parents[2]
STAGES = (
    "Load Dataset",
    "Start Ray",
    "Load or Train Models",
    "Gather Auditing Dataset",
    "Compute Membership Signals",
    "Perform Privacy Audit",
)


def command(*arguments, module="raymeter.audit", **options):
    """Run `python -m raymeter.audit ...`, or another module, in the project's folder, without a cluster to connect to."""
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo, run once: its directory and what it printed."""
    path = tmp_path_factory.mktemp("demo") / "demo"
    return path, command("configs/demo.yaml", f"run.log_dir={path}")


def test_demo_prints_stages_table_and_report_and_nothing_else(demo):
    """Five stages by name, a table, the path of the report; no noise from Ray, nothing on stderr."""
    path, done = demo
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.findall(r"^(.+?) \d+\.\d s$", done.stdout, re.MULTILINE) == list(STAGES)
    assert f"Report: {path}/report/index.html" in done.stdout
    assert "rmia" in done.stdout
    assert not re.search(r"\(raylet|pid=|WARNING|INFO|core_worker", done.stdout)


def test_demo_leaves_privacy_meters_layout(demo):
    """The run directory has the files that users of Privacy Meter look for."""
    path, _ = demo
    for name in (
        "models/memberships.npy",
        "models/models_metadata.json",
        "report/exp/ROC_0.png",
        "report/exp/ROC_log_0.png",
        "report/exp/attack_result_0.npz",
        "report/ROC_average.png",
        "report/ROC_log_average.png",
        "report/attack_result_average.csv",
        "report/log_time_analysis.log",
        "report/metrics.json",
        "report/records.parquet",
    ):
        assert (path / name).stat().st_size > 0, name
    assert not list(path.glob(".ray_train*"))
    assert np.load(path / "models/memberships.npy").shape == (16, 800)


def test_demo_finds_the_leak(demo):
    """RMIA's mean AUC over 16 real models is above chance with its whole interval."""
    metrics = json.loads((demo[0] / "report/metrics.json").read_text())
    rmia = metrics["attacks"]["rmia"]
    assert rmia["auc"]["low"] > 0.55
    assert len(rmia["targets"]) == 16
    assert rmia["tpr_at_fpr"]["0.001"]["resolvable"] is False
    assert metrics["provenance"]["config"]["train"]["model_name"] == "mlp"
    assert parquet.read_table(demo[0] / "report/records.parquet").num_rows == 800


@pytest.mark.parametrize("models", [4, 8, 16])
def test_null_check_on_the_demos_signals(demo, models):
    """With memberships drawn anew after training, every attack on the real signals is at chance."""
    columns = [np.load(next((demo[0] / "signals").glob(f"audit_model_{m}_*.npy"))) for m in range(models)]
    outside = [np.load(next((demo[0] / "signals").glob(f"population_model_{m}_*.npy"))) for m in range(models)]
    fake = make_split(pool=800, population=599, models=models, targets=None, examples=None, seed=12345)

    def matrix(kind, parts, member):
        values = np.stack([part[KINDS.index(kind)] for part in parts], axis=1)
        return SignalMatrix(kind, values, member, fake.reference)

    nobody = np.zeros((len(outside[0][0]), models), dtype=bool)
    log_prob, gap = matrix("log_prob", columns, fake.member), matrix("logit_gap", columns, fake.member)
    population = matrix("log_prob", outside, nobody)
    attacks = [
        loss_scores(log_prob),
        rmia_scores(log_prob, population),
        rmia_scores(log_prob, population, mode="online"),
        rmia_scores(log_prob, population, form="count"),
        *(
            lira_scores(gap, mode=mode, variance=v)
            for mode in ("online", "offline")
            for v in ("nig", "pooled", "global")
        ),
    ]
    if models > 4:
        attacks.append(lira_scores(gap, variance="per_sample"))
    for scores in attacks:
        for target in range(0, models, 2):
            area, variance = auc_and_variance(scores.values[:, target], scores.member[:, target])
            assert abs(area - 0.5) < 4 * np.sqrt(variance), (scores.attack, scores.settings, target)


def test_second_start_reuses_everything(demo):
    """The same command again trains nothing and gives the same figures."""
    path, _ = demo
    before = json.loads((path / "report/metrics.json").read_text())["attacks"]
    done = command("configs/demo.yaml", f"run.log_dir={path}")
    assert done.returncode == 0, done.stderr
    assert "16 of 16 models are done already and are reused" in done.stdout
    assert "signals of 16 of 16 models are stored and are reused" in done.stdout
    assert json.loads((path / "report/metrics.json").read_text())["attacks"] == before


def test_changed_recipe_is_refused(demo):
    """Another learning rate in the same directory ends with exit code 2 and one line."""
    done = command("configs/demo.yaml", f"run.log_dir={demo[0]}", "train.learning_rate=0.5")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "train.learning_rate was 0.02, now 0.5" in done.stderr


def test_dry_run_says_what_would_be_done_and_does_nothing(tmp_path):
    """--dry-run prints the resolved configuration and the plan, and leaves no file."""
    done = command("configs/demo.yaml", f"run.log_dir={tmp_path}/x", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "models: 16 in all, 0 reused, 16 to train" in done.stdout
    assert "audit: 800 records x 16 models x 1 views, 16 targets" in done.stdout
    assert "learning_rate: 0.02" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_wrong_input_is_one_line_and_exit_code_2(tmp_path):
    """An unknown key: one clear line on stderr, no traceback; more of them in tests/fitted/test_mistakes.py."""
    done = command("configs/demo.yaml", f"run.log_dir={tmp_path}/x", "train.epoch=3")
    assert done.returncode == 2, done.stderr
    assert done.stderr == "error: train.epoch: unknown; did you mean epochs?\n"


def test_audit_is_callable_as_a_function():
    """`from raymeter import audit` gives something to call, without starting Ray."""
    code = "import ray, raymeter; assert callable(raymeter.audit); assert not ray.is_initialized()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sweep_of_the_demo_names_its_winner(demo):
    """The shipped sweep of LiRA: what was tried, the winner, the honest and the optimistic figure, and best.yaml."""
    path, _ = demo
    done = command("configs/sweeps/lira.yaml", f"run.log_dir={path}", module="raymeter.sweep")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(
        r"8 different settings tried on 8 targets\nBest: attack lira, mode \w+, variance \w+\n", done.stdout
    )
    assert "on 8 targets that it was not chosen on: 0." in done.stdout
    assert "which is optimistic: 0." in done.stdout
    assert re.search(r"lira with its defaults: 0\.\d+ \[.*\]; gained [+-]0\.", done.stdout)
    assert re.search(r"choosing flattered it by [+-]0\.\d+\n", done.stdout)
    best = path / "sweep/lira/best.yaml"
    dry = command(best, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "16 reused, 0 to train" in dry.stdout


def test_a_sweep_without_signals_says_what_to_do(tmp_path):
    """One line, exit code 2, before a Ray is started."""
    done = command("configs/sweeps/lira.yaml", f"run.log_dir={tmp_path}", module="raymeter.sweep")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path} holds no signals; run `python -m raymeter.audit`")
    assert done.stderr.count("\n") == 1
