"""`raymeter init`: from a file to a plan without an edit."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from raymeter.cli.main import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with somebody's table."""
    monkeypatch.chdir(tmp_path)
    rows = [
        f"P{i:04d},{i % 70 if i % 9 else ''},{'abc'[i % 3]},2001-02-{1 + i % 28:02d},{'yes' if i % 2 else 'no'}"
        for i in range(300)
    ]
    (tmp_path / "my people.csv").write_text("\n".join(["who,age,job,since,it's: bought", *rows]) + "\n")
    return tmp_path


def test_a_table_gets_a_configuration_that_runs_as_it_is(folder, capsys):
    """Columns of ids are left out, names with signs of YAML's own are quoted, and the plan says what a record is."""
    assert main(["init", "my people.csv", "--label", "it's: bought", "--out", "mine.yaml"]) == 0
    out = capsys.readouterr().out
    assert "who is left out: 300 different texts in 300 rows: ids or free text?" in out
    assert out.endswith("mine.yaml is written; look at it, then: raymeter audit mine.yaml\n")
    written = yaml.safe_load((folder / "mine.yaml").read_text())
    assert written["data"] == {"dataset": "arrays", "path": "my people.csv", "label": "it's: bought", "drop": ["who"]}
    assert written["train"]["model_name"] == "tabular" and written["run"]["log_dir"] == "audits/mine"
    assert main(["audit", "mine.yaml", "--dry-run"]) == 0
    assert "6 features (age, age is missing, job=a, job=b, job=c, since), without who" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("shape", "kind", "model"),
    [((50, 8, 8), np.uint8, "cnn"), ((50, 3, 3), np.uint8, "mlp"), ((50, 5), np.float32, "mlp")],
)
def test_arrays_get_a_model_that_takes_them(folder, capsys, shape, kind, model):
    """Images a network of convolutions where they are large enough for it."""
    np.savez(folder / "a.npz", x=np.random.default_rng(0).integers(0, 9, shape).astype(kind), y=np.arange(50) % 2)
    assert main(["init", "a.npz"]) == 0
    assert yaml.safe_load((folder / "a.yaml").read_text())["train"]["model_name"] == model
    assert main(["audit", "a.yaml", "--dry-run"]) == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["my people.csv"], "has columns who, age, job, since, it's: bought; say which is the label with --label"),
        (["my people.csv", "--label", "jobs"], "--label: my people.csv has no column 'jobs'; did you mean job?"),
        (
            ["t.parquet", "--label", "y", "--out", "there.yaml"],
            "there.yaml is there already; give another name with --out",
        ),
        (["t.parquet", "--out", "no/where.yaml"], "no/where.yaml cannot be written (No such file or directory); give"),
        (["a.npz", "--label", "y"], "--label: a.npz is no table, and holds its labels as y; leave --label out"),
        (["nothing.csv"], "nothing.csv cannot be read (No such file or directory)"),
        (["my people.txt"], "not found; give the path of a .csv, .parquet or .npz file"),
    ],
)
def test_what_cannot_be_is_one_line(folder, capsys, arguments, line):
    """Code 2, and nothing is written."""
    (folder / "there.yaml").write_text("")
    parquet.write_table(pa.table({"a": [1.0, 2.0] * 9, "y": [0, 1] * 9}), folder / "t.parquet")
    before = sorted(folder.iterdir())
    assert main(["init", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and line in error and error.count("\n") == 1
    assert sorted(folder.iterdir()) == before
