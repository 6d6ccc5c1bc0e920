"""The command line of every verb, without its work."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raymeter.cli.main import parse


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "a.yaml", "x.y=1", "x.z=2", "--dry-run"],
        ["audit", "a.yaml", "--dry-run", "x.y=1", "x.z=2"],
        ["audit", "--dry-run", "a.yaml", "x.y=1", "--verbose", "x.z=2"],
        ["audit", "a.yaml", "x.y=1", "--fail-if", "rmia.auc.low > 0.5", "x.z=2"],
        ["sweep", "a.yaml", "--verbose", "x.y=1", "x.z=2"],
        ["doctor", "--json", "a.yaml", "x.y=1", "x.z=2"],
        ["doctor", "a.yaml", "--json", "x.y=1", "x.z=2"],
    ],
)
def test_overrides_stand_before_and_after_flags(arguments):
    """In the order in which they are written: a later one of the same key wins."""
    options = parse(arguments)
    assert (options.config, options.overrides) == ("a.yaml", ["x.y=1", "x.z=2"])


@pytest.mark.parametrize(
    ("arguments", "program", "message"),
    [
        (["audit", "a.yaml", "--nothing"], "raymeter audit", "unrecognized arguments: --nothing"),
        (["audit", "a.yaml", "--dry-run", "x.y=1", "--nothing"], "raymeter audit", "x.y=1 --nothing"),
        (["sweep"], "raymeter sweep", "the following arguments are required: CONFIG"),
        (["compare", "a", "b", "c"], "raymeter compare", "unrecognized arguments: c"),
        (["score", "a", "--seed", "x"], "raymeter score", "argument --seed: invalid int value: 'x'"),
        (["import", "a", "--format", "b", "--out", "c"], "raymeter import", "argument --format: invalid choice: 'b'"),
        (["audti"], "raymeter", "invalid choice: 'audti'"),
        ([], "raymeter", "the following arguments are required: VERB"),
    ],
)
def test_what_is_wrong_is_said_under_the_name_of_the_verb(capsys, arguments, program, message):
    """Exit code 2, the usage of that verb, and one line."""
    with pytest.raises(SystemExit) as end:
        parse(arguments)
    assert end.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith(f"usage: {program} [-h]") and f"{program}: error: " in text and message in text


def test_help_loads_the_work_of_no_verb():
    """Nine sub-parsers are built, and beside them nothing of raymeter is imported."""
    code = "import sys; from raymeter.cli.main import main\ntry: main(['--help'])\n"
    code += "finally: print([name for name in sys.modules if name.startswith('raymeter.')])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[1] for name in eval(out.stdout.splitlines()[-1])}
    assert loaded == {"cli", "errors"}
