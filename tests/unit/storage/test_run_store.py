"""The run directory: atomic, hashed, and never silently mixed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from raymeter.errors import StoreError
from raymeter.storage.run_store import RunStore

IDENTITY = {"run": {"random_seed": 0}, "train": {"learning_rate": 0.1}, "data": {"sha256": "a" * 64}}


@pytest.fixture
def store(tmp_path):
    return RunStore.at(str(tmp_path / "run"))


def test_write_replaces_whole_files_and_leaves_no_temporary(store, tmp_path):
    """A second write shows the new content, and only the file itself is left."""
    store.write("a/b.txt", b"one")
    store.write("a/b.txt", b"two")
    assert store.read("a/b.txt") == b"two"
    assert [path.name for path in (tmp_path / "run" / "a").iterdir()] == ["b.txt"]


def test_a_full_disk_is_one_line_and_leaves_what_was_there(store, tmp_path, monkeypatch):
    """A checkpoint for which there was no room once cost its model an attempt, and a report ended in a traceback."""

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.write("a/b.txt", b"one")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"a/b.txt cannot be written \(No space left on device\); free some space"):
        store.write("a/b.txt", b"two")
    assert store.read("a/b.txt") == b"one"
    assert [path.name for path in (tmp_path / "run" / "a").iterdir()] == ["b.txt"]


def test_nothing_is_written_through_a_link_out_of_the_directory(store, tmp_path):
    """A link within it may be followed; one to somewhere else is named, and what lies there stays."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/index.html").write_bytes(b"mine")
    store.write("a/b", b"1")
    root = Path(store.uri)
    (root / "report").symlink_to(tmp_path / "elsewhere")
    (root / "within").symlink_to(root / "a")
    for change in (lambda: store.write("report/index.html", b"2"), lambda: store.delete("report/index.html")):
        with pytest.raises(
            StoreError, match="report is a link to .*elsewhere, outside of the run directory, and nothing"
        ):
            change()
    store.write("within/b", b"3")
    assert (tmp_path / "elsewhere/index.html").read_bytes() == b"mine" and store.read("a/b") == b"3"


def test_pipes_in_a_run_directory_are_not_waited_for(store):
    """One line, at once."""
    store.write("a", b"")
    os.mkfifo(Path(store.uri, "run.json"))
    with pytest.raises(StoreError, match=r"run.json cannot be read \(it is a pipe, and a file is needed\)"):
        store.read("run.json")


def test_read_missing_is_none(store):
    """A missing file reads as None, not as an error."""
    assert store.read("nothing") is None
    assert store.read_json("nothing.json") is None


def test_file_uri_and_local_path_are_the_same_place(tmp_path):
    """The URI code path (used for s3:// and gs://) reads what the local one wrote, and the other way round."""
    local, uri = RunStore.at(str(tmp_path)), RunStore.at(f"file://{tmp_path}")
    local.write("x", b"1")
    assert uri.read("x") == b"1"
    uri.write("y", b"2")
    assert local.read("y") == b"2"
    uri.delete("y")
    uri.delete("y")
    assert local.read("y") is None


def test_claim_refuses_another_recipe_naming_the_change(store):
    """A changed learning rate in the same directory is refused with both values and a way out."""
    store.claim(IDENTITY)
    store.claim(IDENTITY)
    changed = {**IDENTITY, "train": {"learning_rate": 0.2}}
    with pytest.raises(StoreError) as error:
        store.claim(changed)
    assert "train.learning_rate was 0.1, now 0.2" in str(error.value)
    assert "Choose another run.log_dir" in str(error.value)
