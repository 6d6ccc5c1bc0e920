"""Text for people: no keys, nothing that a terminal obeys, one line, of bounded length; in every message that is shown."""

from __future__ import annotations

import contextlib
import json
import time

import numpy as np
import pytest
from rich.console import Console

from raymeter.cli.main import main
from raymeter.errors import DataError
from raymeter.errors.text import LONGEST, one_line, some_lines
from raymeter.pipeline.console import StageConsole

SECRET = "SeCr3t/Wo+rd"
LEAKY = [
    f"s3://AKIAABCDEFGHIJKLMNOP:{SECRET}@bucket/audits",
    f"s3://bucket/audits?access_key=AKIAABCDEFGHIJKLMNOP&secret_key={SECRET}",
    f"https://user:{SECRET}@example.org/records.npz",
    f"https://example.org/records.npz?token={SECRET}",
]
PLACES = {
    "configuration": lambda text, path: ["audit", text],
    "configuration of a sweep": lambda text, path: ["sweep", text],
    "configuration of doctor": lambda text, path: ["doctor", text],
    "override without a dot": lambda text, path: ["audit", path, f"password={text}", "--dry-run"],
    "override without a value": lambda text, path: ["audit", path, text, "--dry-run"],
    "unknown override": lambda text, path: ["audit", path, f"data.secret={text}", "--dry-run"],
    "unknown flag": lambda text, path: ["audit", path, "--token", SECRET],
    "run.log_dir": lambda text, path: ["audit", path, f"run.log_dir={text}", "--dry-run"],
    "data.data_dir": lambda text, path: ["audit", path, f"data.data_dir={text}", "data.dataset=mnist", "--dry-run"],
    "data.path": lambda text, path: ["audit", path, f"data.path={text}", "data.dataset=arrays", "--dry-run"],
    "data.dataset": lambda text, path: ["audit", path, f"data.dataset={text}", "--dry-run"],
    "train.model_name": lambda text, path: ["audit", path, f"train.model_name={text}", "--dry-run"],
    "train.fit": lambda text, path: ["audit", path, f"train.fit={text}", "--dry-run"],
    "audit.groups": lambda text, path: ["audit", path, f"audit.groups={text}", "--dry-run"],
    "audit.report_log": lambda text, path: ["audit", path, f"audit.report_log={text}", "run.log_dir=/dev/null"],
    "cluster.address": lambda text, path: ["audit", path, f"cluster.address={text}", "--dry-run"],
    "gate": lambda text, path: ["audit", path, "--fail-if", text, "--dry-run"],
    "score": lambda text, path: ["score", text],
    "score of signals": lambda text, path: ["score", "--signals", text],
    "explain-difference": lambda text, path: ["explain-difference", text, text],
    "compare": lambda text, path: ["compare", text, text],
    "report": lambda text, path: ["report", text],
    "import": lambda text, path: ["import", text, "--format", "arrays", "--out", "/dev/null/out"],
    "import to": lambda text, path: ["import", path, "--format", "arrays", "--out", text],
    "export": lambda text, path: ["export", text, "--format", "arrays", "--out", "/dev/null/out"],
    "format": lambda text, path: ["export", path, "--format", text, "--out", "/dev/null/out"],
}


@pytest.fixture
def audit_yaml(tmp_path, monkeypatch):
    """A configuration of digits, and no working directory to fill."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    sections = {
        "run": {"log_dir": str(tmp_path / "run")},
        "audit": {"num_ref_models": 1, "population_size": 30},
        "data": {"dataset": "digits", "pool_size": 40},
    }
    (tmp_path / "audit.yaml").write_text(json.dumps(sections))
    np.save(tmp_path / "x.npy", np.zeros(3))
    return str(tmp_path / "audit.yaml")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", range(len(LEAKY)))
def test_no_message_repeats_a_key(audit_yaml, capfd, place, number):
    """Of 40 messages 11 printed a secret that was given in an address or an option."""
    with contextlib.suppress(SystemExit):
        main(PLACES[place](LEAKY[number], audit_yaml))
    said = "".join(capfd.readouterr())
    assert said
    assert SECRET not in said and "Wo+rd" not in said and "AKIAABCDEFGHIJKLMNOP" not in said
    assert "Traceback" not in said


@pytest.mark.parametrize("place", PLACES)
def test_nothing_that_a_terminal_obeys_is_printed(audit_yaml, capfd, place):
    """ESC reached the terminal from compare, explain-difference, gates and paths."""
    with contextlib.suppress(SystemExit):
        main(PLACES[place]("no\x1b[31m\x07where\x9b\u202e", audit_yaml))
    said = "".join(capfd.readouterr())
    assert said
    assert not set(said) & set("\x1b\x07\x9b\u202e")


def test_one_line_keeps_plain_text_and_bounds_the_rest():
    """Names, paths, equations and addresses without keys stay; of a long line its start and end do."""
    for text in (
        "audit.attacks[0].offline_a: 3 is not between 0 and 1; give 0.3",
        "s3://bucket/a/b: no such bucket; is it there?",
        "put keys into the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) of all nodes",
        "Daten/Übung α → β: 12 %; train.model: a.b:c@d",
        "the token is asked for; RAY_AUTH_MODE=token; max_tokens=12",
    ):
        assert one_line(text) == text
    long = one_line("x" * 10_000 + "; delete it")
    assert len(long) <= LONGEST and long.endswith("; delete it")
    start = time.process_time()
    one_line("x" * 1_000_000)  # took time as the square of the length
    assert time.process_time() - start < 5
    assert one_line("a\nb\r\nc\td") == "a b c d"
    assert some_lines("a\nb\x1b") == "a\nb?"


def test_errors_and_notes_are_one_plain_line(capsys):
    """Whoever raises or says it."""
    assert str(DataError(f"{LEAKY[0]}\nis \x1bnot there")) == "s3://...@bucket/audits is ?not there"
    StageConsole(Console(highlight=False, soft_wrap=True)).note(f"\x1breading {LEAKY[3]}")
    assert capsys.readouterr().out == "  ?reading https://example.org/records.npz\n"
