"""The lock of a run directory: whose it is, how it ends, and what takes it over."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import pytest

from raymeter.errors import StoreError
from raymeter.storage import run_lock
from raymeter.storage.run_lock import Owner, locked
from raymeter.storage.run_store import RunStore


@pytest.fixture
def store(tmp_path):
    return RunStore.at(str(tmp_path / "a/run"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Hearts beat fast, and are given up on soon."""
    monkeypatch.setattr(run_lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(run_lock, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(run_lock, "STALE_SECONDS", 0.5)


def test_a_second_one_is_refused_and_nothing_is_left(store, tmp_path):
    """It is told who holds the directory; afterwards there is no lock and no directory that was made for it."""
    said = []
    with locked(store, said.append):
        with pytest.raises(StoreError, match="is in use by this process itself since .* wait until that has ended"):
            with locked(store, said.append):
                pass
        assert (tmp_path / "a/run/lock.json").exists()
        with locked(store, said.append, "sweep/one/lock.json"):  # which writes elsewhere
            pass
    assert list(tmp_path.iterdir()) == [] and said == []


def test_another_process_is_named_and_gives_way_when_it_is_killed(store):
    """Its number, its machine and since when; a killed one is seen to be gone at once."""
    code = "import sys, time\nfrom raymeter.storage.run_lock import locked\nfrom raymeter.storage.run_store import RunStore\n"
    code += "with locked(RunStore(sys.argv[1]), print):\n    print('held', flush=True)\n    time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code, store.uri], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(StoreError, match=f"is in use by process {process.pid} on "):
        with locked(store, print):
            pass
    process.kill()
    process.communicate()
    said = []
    with locked(store, said.append):
        assert len(said) == 1 and f"was left in use by process {process.pid} on " in said[0]


def test_of_many_that_come_at_once_one_gets_it(store):
    """The file is made by one alone."""
    held, refused, start = [], [], threading.Barrier(8)

    def come(number):
        start.wait()
        try:
            with locked(store, print):
                held.append(number)
                time.sleep(1)
        except StoreError:
            refused.append(number)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 7)


def elsewhere() -> Owner:
    """An owner whose process cannot be seen from here."""
    return replace(Owner.here(), machine="another", host="far", pid=1, token="t")


@pytest.mark.parametrize("beating", [True, False])
def test_an_owner_elsewhere_is_known_by_its_heartbeat(store, beating):
    """While it beats the directory is in use; without a beat for a minute it is taken over, which is told."""
    ended, owner = threading.Event(), elsewhere()
    store.write_json("lock.json", asdict(owner))
    thread = threading.Thread(target=run_lock._keep, args=(store, "lock.json", owner, ended))
    if beating:
        thread.start()
    said = []
    try:
        if beating:
            with pytest.raises(StoreError, match="is in use by process 1 on far since"):
                with locked(store, said.append):
                    pass
        else:
            with locked(store, said.append):
                assert "seeing for a minute at most whether that is alive" in said[0]
                assert "was left in use by process 1 on far" in said[1]
    finally:
        ended.set()
        if beating:
            thread.join()


def test_a_reused_process_number_is_another_process(store):
    """This process has the number of the owner, but began at another time."""
    store.write_json("lock.json", asdict(replace(Owner.here(), born=1, token="t")))
    said = []
    with locked(store, said.append):
        assert "has ended without a word" in said[0]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', json.dumps({"pid": 1}).encode()])
def test_a_damaged_lock_is_taken_over_where_nothing_is_heard(store, content):
    """Nobody can be named, and nobody writes it again."""
    store.write("lock.json", content)
    said = []
    with locked(store, said.append):
        assert "was left in use by process 0 on an unknown machine" in said[1]


def test_an_owner_that_was_suspended_hears_that_it_was_replaced(store, caplog):
    """It does not take the lock back, and leaves the other's where it is."""
    with locked(store, print):
        other = elsewhere()
        store.write_json("lock.json", asdict(other))
        deadline = time.monotonic() + 10
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "was taken over by process 1 on far" in caplog.text
    assert store.read_json("lock.json") == asdict(other)


def test_a_directory_that_cannot_be_written_is_one_line():
    """Before anything else is done; in /proc nobody makes a directory, root included."""
    with pytest.raises(
        StoreError, match="lock.json cannot be written .* free some space or choose another run.log_dir"
    ):
        with locked(RunStore.at("/proc/run"), print):
            pass
