"""What the person at the terminal sees."""

from __future__ import annotations

import io
import json
from datetime import datetime

import pytest
from rich.console import Console
from rich.table import Table

from raymeter.cli.guard import guarded
from raymeter.errors import ConfigError, RunError
from raymeter.pipeline.console import JsonConsole, StageConsole


def stage_console(terminal):
    text = io.StringIO()
    return StageConsole(Console(file=text, force_terminal=terminal, width=100)), text


def test_stage_on_a_terminal_shows_its_name_and_count_while_it_runs():
    """The running stage is named, with how many of what are done."""
    console, text = stage_console(True)
    with console.stage("Load or Train Models"):
        console.progress(3, 16, "models")
        console._bar.refresh()
        running = text.getvalue()
    assert "Load or Train Models" in running
    assert "3 of 16 models" in running


def test_stage_elsewhere_prints_plain_lines():
    """Without a terminal there is a line at the start, the notes, and a line with the seconds."""
    console, text = stage_console(False)
    with console.stage("Load Dataset"):
        console.progress(1, 2, "records")
        console.note("a note with [brackets]")
    lines = text.getvalue().splitlines()
    assert lines[:2] == ["Load Dataset ...", "  a note with [brackets]"]
    assert lines[2].startswith("Load Dataset 0.")
    assert list(console.timings) == ["Load Dataset"]


@pytest.mark.parametrize(("error", "code"), [(ConfigError("bad"), 2), (RunError("bad"), 1), (KeyboardInterrupt(), 130)])
def test_guarded_turns_errors_into_one_line_and_a_code(capsys, error, code):
    """Deliberate errors and interrupts end with their exit code and one line."""

    def command():
        raise error

    assert guarded(command) == code
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_guarded_tells_errors_where_everything_else_is_told(capsys):
    """With --json-logs the reason of a failure was the only line that was no JSON."""
    stream = io.StringIO()

    def command():
        raise RunError("no node left")

    assert guarded(command, say=JsonConsole(stream=stream).error) == 1
    line = json.loads(stream.getvalue())
    assert (line["event"], line["text"], capsys.readouterr().err) == ("error", "error: no node left", "")


def test_json_console_says_everything_in_lines_of_json():
    """Stages with their seconds, notes, results; progress not more often than every few seconds."""
    stream = io.StringIO()
    console = JsonConsole(stream=stream)
    with console.stage("Load Dataset"):
        console.note('a "quoted" decision')
        for done in range(100):
            console.progress(done, 100, "records")
    console.result(Table(), ["It leaks."])
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["stage begins", "note", "progress", "stage ends", "result"]
    assert [line.get("stage") for line in lines] == ["Load Dataset"] * 4 + [None]
    assert lines[1]["text"] == 'a "quoted" decision'
    assert lines[3]["seconds"] == pytest.approx(console.timings["Load Dataset"], abs=1e-3)
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
