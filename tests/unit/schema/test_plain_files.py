"""What does not end is no file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from raymeter.schema.plain_files import file_bytes, require_file


def test_a_file_and_a_link_to_one_are_read(tmp_path):
    """As they are."""
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert file_bytes(tmp_path / "a") == file_bytes(tmp_path / "b") == b"1"


def test_pipes_devices_sockets_and_directories_are_refused(tmp_path):
    """At once, although nobody writes to the pipe; a link to one too."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path, what in {
            tmp_path / "pipe": "a pipe",
            tmp_path / "link": "a device",
            Path("/dev/zero"): "a device",
            tmp_path / "socket": "a socket",
            tmp_path: "a directory",
        }.items():
            with pytest.raises(OSError, match=f"it is {what}, and a file is needed") as error:
                require_file(path)
            assert error.value.strerror == f"it is {what}, and a file is needed"


def test_what_is_missing_is_missing(tmp_path):
    """With the system's own word for it."""
    with pytest.raises(FileNotFoundError):
        file_bytes(tmp_path / "nothing")
