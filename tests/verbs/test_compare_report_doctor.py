"""The verbs that read finished reports, and the one that looks at the machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import csv
from results import sample, written

from raymeter.cli.main import main
from raymeter.pipeline import doctor


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> tuple[Path, Path]:
    """A weaker and a stronger result on the same members, as run directories."""
    folders = []
    for name, attacks in (("weak", ("loss", "rmia", "other")), ("strong", ("other", "loss", "rmia"))):
        folder = tmp_path_factory.mktemp(name)
        for path, data in written(sample(attacks, records=300)).items():
            (folder / "report" / path).parent.mkdir(exist_ok=True, parents=True)
            (folder / "report" / path).write_bytes(data)
        folders.append(folder)
    return folders[0], folders[1]


def test_compare_says_who_leaks_more(reports, capsys, tmp_path):
    """Text, JSON and a page of the same comparison; the run directory and its report are the same thing."""
    a, b = map(str, reports)
    assert main(["compare", a, f"{b}/report", "--html", str(tmp_path / "page.html")]) == 0
    text = capsys.readouterr().out
    assert "B minus A [95 % interval], p" in text and "rose most" in text
    assert main(["compare", a, b, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert set(content["attacks"]) == {"loss", "rmia", "other"}
    assert content["attacks"]["rmia"]["paired"] and content["attacks"]["rmia"]["auc"]["low"] > 0
    page = (tmp_path / "page.html").read_text()
    assert f"{content['attacks']['rmia']['auc']['estimate']:+.4f}" in page and "<script" not in page


def test_compare_is_a_gate(reports, capsys):
    """Code 3 where B leaks measurably more, 0 the other way round, 2 for a path that leads nowhere."""
    a, b = map(str, reports)
    assert main(["compare", a, b, "--fail-if", "rmia.auc.low > 0"]) == 3
    assert "failed: rmia.auc.low > 0" in capsys.readouterr().err
    assert main(["compare", b, a, "--fail-if", "rmia.auc.low > 0"]) == 0
    assert main(["compare", a, b, "--fail-if", "rmai.auc.low > 0"]) == 2
    assert "did you mean rmia" in capsys.readouterr().err


def test_reversed_scores_pass_no_gate_in_silence(tmp_path, capsys):
    """Regression: score, report and compare took an AUC of 0.2 for a model that leaks less."""
    member = np.arange(400) < 200
    for name, sign in (("right", 1), ("reversed", -1)):
        score = np.random.default_rng(0).normal(size=400) + sign * 2 * member
        csv.write_csv(pa.table({"id": np.arange(400), "score": score, "member": member}), tmp_path / f"{name}.csv")
        gate = ["--fail-if", "score.auc.low > 0.95"]
        assert main(["score", str(tmp_path / f"{name}.csv"), *gate]) == 0
        assert main(["report", str(tmp_path / f"{name}-report"), *gate]) == 0
    said = capsys.readouterr().err
    line = "passed, but inconclusive: every attack did worse than chance: look at the direction of the scores"
    assert said.splitlines() == [line] * 2
    assert main(["compare", *(str(tmp_path / f"{name}-report") for name in ("right", "reversed"))]) == 0
    out = capsys.readouterr().out
    assert "B found nothing, and may have missed a leak: every attack did worse than chance" in out
    assert "p < 1e-300" in out  # it was p = 0


def test_compare_names_what_is_missing(reports, tmp_path, capsys):
    """No report, half a report, a page that cannot be written: one line each."""
    a, b = reports
    assert main(["compare", str(a), str(tmp_path)]) == 2
    shutil.copytree(b, tmp_path / "half")
    (tmp_path / "half/report/exp/attack_result_0.npz").unlink()
    assert main(["compare", str(a), str(tmp_path / "half")]) == 2
    assert main(["compare", str(a), str(b), "--html", str(tmp_path / "no/where.html")]) == 2
    shutil.copytree(b, tmp_path / "cut")
    for name in ("exp/attack_result_0.npz", "records.parquet"):
        (tmp_path / "cut/report" / name).write_bytes((b / "report" / name).read_bytes()[:100])
        assert main(["compare", str(a), str(tmp_path / "cut")]) == 2
    (tmp_path / "cut/report/metrics.json").write_text("{}")
    assert main(["report", str(tmp_path / "cut")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [True] * 6
    assert "has no finished report" in lines[0] and "attack_result_0.npz" in lines[1] and "where.html" in lines[2]
    assert all(" is altered (its hash is wrong); make the report again" in line for line in lines[3:])


@pytest.fixture
def no_ray(monkeypatch):
    """Starting Ray is tested elsewhere and takes seconds."""
    monkeypatch.setattr(doctor, "check_ray", lambda: doctor.CheckResult("Ray", "ok", "not tried"))


def test_doctor_finds_a_machine_ready(no_ray, tmp_path, capsys):
    """Every check by name, for the demo's configuration."""
    config = str(Path(__file__).parents[2] / "configs/demo.yaml")
    assert main(["doctor", config, f"run.log_dir={tmp_path}/run", "--json"]) == 0
    findings = {each["check"]: each for each in json.loads(capsys.readouterr().out)["findings"]}
    names = ["Python", "ray", "torch", "GPU", "/dev/shm", "Ray", "cluster", "storage", "data", "configuration"]
    assert list(findings) == names
    assert "800 records to train on" in findings["data"]["text"]
    assert not (tmp_path / "run").exists()


def test_doctor_says_what_is_wrong_and_goes_on(no_ray, tmp_path, capsys):
    """A run directory that is a file and data that are missing: two problems, each with its line, code 1."""
    (tmp_path / "file").write_text("")
    config = {
        "run": {"log_dir": str(tmp_path / "file")},
        "data": {"dataset": "arrays", "path": str(tmp_path / "nothing.npz")},
    }
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(config))
    assert main(["doctor", str(tmp_path / "audit.yaml")]) == 1
    text = capsys.readouterr().out
    problems = [line for line in text.splitlines() if line.startswith("problem")]
    assert any(line.startswith("problem   storage: ") for line in problems)
    assert any("nothing.npz not found" in line for line in problems)
    assert "Traceback" not in text and f"{len(problems)} problems" in text


def test_doctor_names_an_old_package(monkeypatch):
    """With the command that mends it."""
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda package: "2.9.0")
    assert doctor.check_package("ray") == doctor.CheckResult("ray", "problem", "2.9.0", "pip install -U 'ray>=2.60'")


def test_a_report_that_could_name_nobody_names_none_against_none(tmp_path, capsys):
    """Regression: "named at risk: 0 in A" of one pair of models, where no record has a p-value."""
    rng = np.random.default_rng(0)
    for name, models in (("one", 2), ("two", 4)):
        half = np.stack([rng.permutation(100) < 50 for _ in range(models // 2)], axis=1)
        member = np.stack([half, ~half], axis=2).reshape(100, models)
        np.savez(tmp_path / f"{name}.npz", signals=rng.normal(size=member.shape) + member, member=member)
        assert main(["score", "--signals", str(tmp_path / f"{name}.npz"), "--kind", "logit_gap"]) == 0
    told = capsys.readouterr().out
    assert told.count("Records at risk cannot be named") == 1 and told.count("Records at risk: ") == 1
    assert main(["compare", *(str(tmp_path / f"{name}-report") for name in ("one", "two"))]) == 0
    assert "named at risk" not in capsys.readouterr().out
