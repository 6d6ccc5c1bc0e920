"""YAML that would take long, or that says what no computer's number is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import pytest

from raymeter.config.yaml_files import parse_yaml, read_sections
from raymeter.errors import ConfigError

DOUBLED = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DOUBLED, "f line 5: not valid YAML: aliases written out come to more than 100,000 values"),
        ("a: &a [1, *a]", "f line 1: not valid YAML: an alias is within what it repeats"),
        ("a: &a {b: *a}", "f line 1: not valid YAML: an alias is within what it repeats"),
        ("a: " + "9" * 5000, "f line 1: not valid YAML: the number 99999999999999999999 is beyond 64 bits"),
        ("a: 9223372036854775808", "the number 9223372036854775808 is beyond 64 bits"),
        ("a: 0x" + "f" * 40, "is beyond 64 bits"),
        ("a: " + "[" * 5000 + "]" * 5000, "f: not valid YAML: nested too deeply"),
        ("a: !!python/object/apply:os.system [id]", "could not determine a constructor for the tag"),
        ("a: 2026-99-99", "month must be in 1..12"),
        ("? [a]\n: b", "a key must be a text"),
    ],
)
def test_yaml_that_is_no_configuration_is_one_line(text, reason):
    """At once."""
    start = time.monotonic()
    with pytest.raises(ConfigError, match=re.escape(reason)) as error:
        parse_yaml(text, "f")
    assert "\n" not in str(error.value) and time.monotonic() - start < 10


def test_aliases_that_people_write_are_read():
    """Anchors and merge keys of a real file."""
    assert parse_yaml("a: &x {b: 1}\nc: {<<: *x, d: -9223372036854775807}\ne: *x", "f") == {
        "a": {"b": 1},
        "c": {"b": 1, "d": -9223372036854775807},
        "e": {"b": 1},
    }


def test_pipes_devices_and_large_files_are_no_configuration(tmp_path):
    """One line each, and none is read to its end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * (2**20 + 1))
    for path, reason in (
        (tmp_path / "pipe", "it is a pipe, and a file is needed"),
        ("/dev/zero", "it is a device, and a file is needed"),
        (tmp_path / "large", "it is larger than 1 MiB, which no configuration is"),
        (tmp_path, "it is a directory, and a file is needed"),
    ):
        with pytest.raises(ConfigError, match=rf"cannot be read \({reason}\)"):
            read_sections(path, [], {"run": None})


def test_what_a_shell_puts_in_place_of_a_file_is_read(tmp_path):
    """`<(command)` of bash is a pipe under /dev/fd, and standard input may hold a configuration too."""
    code = (
        "import sys; from raymeter.config.yaml_files import read_sections as r; print(r(sys.argv[1], [], {'run': 0}))"
    )
    text = "run: {log_dir: x}\n"
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    for argv, given in ((f"/dev/fd/{read}", ""), ("/dev/stdin", text)):
        done = subprocess.run(
            [sys.executable, "-c", code, argv], input=given, text=True, capture_output=True, pass_fds=[read], check=True
        )
        assert done.stdout == "{'run': {'log_dir': 'x'}}\n"
    os.close(read)
