"""README and docs/ followed: every command is run here or by a test that names its document, every help text is true."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import layouts
import pytest
import yaml

from raymeter.cli.main import build_parser, main
from raymeter.config.load import build_config
from raymeter.distributed.session import connected

ROOT = Path(__file__).parents[2]
VERBS = re.findall(r"^    ([\w-]+)", build_parser().format_help(), re.M)
DOCUMENTS = [ROOT / "README.md", ROOT / "configs/README.md", *sorted((ROOT / "docs").glob("*.md"))]
# cluster/README.md needs clouds: tests/unit/test_cluster_files.py holds its commands against the files that they name.
RUN_BY = {
    "README.md": __file__,
    "report.md": __file__,
    "sweeps.md": __file__,
    "from-privacy-meter.md": __file__,
    "audit-a-trained-model.md": "e2e/test_own_model.py",
    "bring-your-own-model.md": "e2e/test_own_model.py",
    "bring-your-own-scores.md": "verbs/test_docs_commands.py",
    "import-export.md": "verbs/test_docs_commands.py",
    "jobs.md": "e2e/test_job_submit.py",
    "storage.md": "storage/test_audit_in_bucket.py",
}
README = (ROOT / "README.md").read_text()
SET_UP = "pip install"  # run by .ci/run, see tests/unit/test_readme.py


def commands(name):
    """The lines of a document's blocks of commands; those that go on are joined."""
    (path,) = (each for each in DOCUMENTS if each.name == name and (name != "README.md" or each.parent == ROOT))
    blocks = re.findall(r"^ *```bash\n(.*?)```", path.read_text(), re.S | re.M)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith(SET_UP)]


def run(line):
    """A command as a user types it, in this process; returns its exit code."""
    program, *arguments = shlex.split(line)
    if program == "python":
        assert arguments[0] == "-m" and arguments[1].startswith("raymeter.")
        arguments = [arguments[1].removeprefix("raymeter."), *arguments[2:]]
    else:
        assert program == "raymeter"
    return main(arguments)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """A working directory with the project's configurations, and one Ray for all commands."""
    path = tmp_path_factory.mktemp("docs")
    shutil.copytree(ROOT / "configs", path / "configs")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.chdir(path)
        with connected(build_config({"run": {"log_dir": "x"}, "cluster": {"num_cpus": 2}}).cluster):
            yield path


def test_every_document_with_commands_is_followed():
    """None is forgotten, and the test that is said to run a document's commands reads it."""
    with_commands = {path.name for path in DOCUMENTS if re.search(r"^ *```bash", path.read_text(), re.M)}
    assert with_commands == set(RUN_BY)
    for name, test in RUN_BY.items():
        assert name.removesuffix(".md") in (ROOT / "tests" / test).read_text(), name


def test_readme(folder, capsys):
    """The demo, its plan, a quick one elsewhere, and the demo from Python."""
    assert run("python -m raymeter.audit configs/demo.yaml") == 0
    plan, quick = commands("README.md")
    assert run(plan) == 0
    assert run(quick.replace("/tmp/quick", "quick")) == 0
    assert json.loads(Path("quick/report/metrics.json").read_text())["provenance"]["config"]["train"]["epochs"] == 10
    capsys.readouterr()
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "import audit" in block)
    exec(compile(example, "README.md", "exec"), {})
    found = re.findall(r"^(\w+) 0\.\d+ 0\.\d+ 0\.\d+$", capsys.readouterr().out, re.M)
    assert found == ["loss", "rmia", "rmia_online", "lira", "lira_offline"]


def test_report(folder, capsys):
    """Two audits compared, gates that hold and one that does not, and the machine looked at."""
    shutil.copytree("demo", "before")
    shutil.copytree("quick", "after")
    table = "".join(f"{i},{i % 7},{int(i % 3 == 0)}\n" for i in range(300))
    Path("scores.csv").write_text("id,score,member\n" + table)
    lines = commands("report.md")
    compare, audit_gate, score_gate, compare_gate, doctor = (line for line in lines if "raymeter report" not in line)
    assert run(compare) == 0
    assert Path("comparison.html").read_text().rstrip().endswith("</html>")
    assert run(audit_gate) == 0
    assert run(score_gate.replace("parquet", "csv")) == 0
    assert run(compare_gate) == 0  # fewer epochs leak less
    assert run(compare_gate.replace("before after", "after before")) == 3
    capsys.readouterr()
    assert run(doctor) == 0, capsys.readouterr().out


def test_sweeps(folder):
    """The demo's sweep, on the demo that the README ran."""
    audit, sweep = commands("sweeps.md")
    assert run(audit) == 0
    assert run(sweep) == 0
    assert json.loads(Path("demo/sweep/rmia/summary.json").read_text())["settings"] == 67


def test_from_privacy_meter(folder, capsys):
    """The whole file runs as it stands, and so do the signals of a finished run."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/from-privacy-meter.md").read_text(), re.S)
    Path("privacy_meter.yaml").write_text(text)
    layouts.privacy_meter(folder / "demo_pm", layouts.truth())
    for line in commands("from-privacy-meter.md"):
        assert run(line) == 0
    assert "train.device is accepted and not used" in capsys.readouterr().out
    for name in ("models/memberships.npy", "report_rmia/exp/ROC_0.png", "report_rmia/log_time_analysis.log"):
        assert (Path("demo_digits") / name).is_file()
    assert yaml.safe_load(text)["audit"]["algorithm"] == "RMIA"


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_texts_are_those_of_the_program(verb, monkeypatch, capsys):
    """docs/commands.md has what --help prints, at 100 columns; argparse lays lines out differently from version to version."""
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as end:
        main([*([verb] if verb else []), "--help"])
    assert end.value.code == 0
    text = (ROOT / "docs/commands.md").read_text()
    (documented,) = re.findall(rf"^## raymeter{f' {verb}' if verb else ''}\n\n```text\n(.*?)```", text, re.S | re.M)
    assert documented.split() == capsys.readouterr().out.split()
