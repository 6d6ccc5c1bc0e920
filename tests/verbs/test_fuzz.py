"""Malformed configurations and data files through every verb: a few of those that benchmarks/fuzz.py makes."""

from __future__ import annotations

import re
import shutil
import sys
from contextlib import closing
from itertools import islice

import numpy as np
import pytest
from fuzzing import Case, configurations, data_files, good_commands, run

CASES = 20  # of each kind


@pytest.mark.parametrize("make", [configurations, data_files])
def test_what_is_malformed_is_one_line(make, tmp_path):
    """Code 2 with one line, no traceback, bounded time and memory, and nothing altered."""
    with closing(make(np.random.default_rng(1), tmp_path / "cases")) as cases:
        ends = [(case, run(case, tmp_path)) for case in islice(cases, CASES)]
    assert [f"{case.change}: {end.problem()}" for case, end in ends if end.problem()] == []
    assert sum(end.code == 2 for _, end in ends) > CASES // 2


def test_the_commands_succeed_before_anything_is_changed(tmp_path):
    """Else their refusals would say nothing."""
    for what, argv, _, kept in good_commands(tmp_path / "cases"):
        end = run(Case(what, argv, kept), tmp_path)
        assert (what, end.code, end.errors) == (what, 0, end.errors)
        shutil.rmtree(tmp_path / "cases/out", ignore_errors=True)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("raise ValueError", "ends with code 1: Traceback"),
        ("sys.stderr.write('error: a\\nerror: b\\n'); raise SystemExit(2)", "2 lines of errors"),
        ("raise SystemExit(2)", "0 lines of errors"),
        ("print('\\x1b[31m')", "prints control characters"),
        ("bytearray(b'1' * (2**30 + 2**28))", "takes [12]."),
        ("import time; time.sleep(60)", "hangs: more than 1 s"),
        ("open('kept/a', 'w').write('2'); sys.stderr.write('error: x\\n'); raise SystemExit(2)", "alters a directory"),
    ],
)
def test_every_fault_would_be_found(code, problem, tmp_path, monkeypatch):
    """The finder itself, on commands that do what they must not."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/a").write_text("1")
    monkeypatch.setattr("fuzzing.main", lambda argv: exec(argv[0], {"sys": sys}) or 0)
    if "sleep" in code:
        monkeypatch.setattr("fuzzing.SECONDS", 1.0)
    assert re.search(problem, run(Case("", (code,), (tmp_path / "kept",)), tmp_path).problem())
