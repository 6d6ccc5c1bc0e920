"""The commands of two documents are run as they stand, on files in the layouts that they name."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import get_args

import layouts
import numpy as np
import pytest

from raymeter.cli.import_signals import USED_FLAGS
from raymeter.cli.main import main
from raymeter.cli.signal_options import FORMAT_NAMES, SIGNAL_KINDS
from raymeter.formats import FORMATS
from raymeter.formats.values import Kind

DOCS = Path(__file__).parents[2] / "docs"


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a document."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)


def run_commands(name: str) -> int:
    """Run every raymeter command of a document; returns their number."""
    lines = [line for block in blocks(name, "bash") for line in block.splitlines()]
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "raymeter"
        assert main(arguments) == 0, line
    return len(lines)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_bring_your_own_scores(folder):
    """The example writes the files, and its commands judge them."""
    (example,) = blocks("bring-your-own-scores.md", "python")
    exec(compile(example, "bring-your-own-scores.md", "exec"), {})
    assert run_commands("bring-your-own-scores.md") == 4
    auc = {p: json.loads((folder / p / "metrics.json").read_text())["attacks"] for p in ("scores-report", "reversed")}
    upright, turned = (auc[p]["score"]["auc"]["estimate"] for p in auc)
    assert upright == pytest.approx(1 - turned)
    assert list(json.loads((folder / "two/metrics.json").read_text())["attacks"]) == ["loss", "lira"]


def test_import_export(folder, capsys):
    """Every format is imported, attacked, exported and compared."""
    found = layouts.truth()
    layouts.privacy_meter(folder / "pm", found)
    layouts.lira(folder / "lira", found)
    layouts.lira_analysis(folder / "analysis", found)
    layouts.leakpro(folder / "leakpro", found)
    layouts.privacyguard(folder / "frames", found)
    np.savez(folder / "mine.npz", signals=found.prob, member=found.member)
    assert run_commands("import-export.md") == 12
    assert (folder / "from-lira/report/metrics.json").is_file()
    assert "batch norm: batch in A, not known of the other" in capsys.readouterr().out


def test_every_format_is_documented():
    """The command line, the table of formats and the document name the same ones."""
    assert tuple(FORMATS) == FORMAT_NAMES == tuple(USED_FLAGS)
    assert get_args(Kind) == SIGNAL_KINDS
    for name in FORMATS:
        assert f"| `{name}` |" in (DOCS / "import-export.md").read_text()
