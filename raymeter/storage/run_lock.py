"""One command at a time where results are written: a lock that says whose it is, with a heartbeat.

    <log_dir>/lock.json                an audit
    <log_dir>/sweep/<name>/lock.json   a sweep, which reads the audit's signals and writes there alone

What ends without giving its lock back (SIGKILL, a node that goes) leaves one behind, which the next takes over: at once
where the process can be seen to be gone, else when no heartbeat has come for a minute.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timezone
from pathlib import Path

from raymeter.errors import StoreError
from raymeter.storage.run_store import RunStore

log = logging.getLogger("raymeter")
LOCK = "lock.json"
BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0  # without a heartbeat, after which an owner on another machine counts as gone
SETTLE_SECONDS = 1.0  # that a bucket gets to show which of two that came at once has written last
LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Owner:
    """Whose a lock is.

    Args:
        token: Of this one use.
        host: Name of the machine, for people.
        machine: What tells machines, and containers on them, apart: process numbers mean something within one only.
        pid, born: The process, and when it began as the system counts.
        since: Time of the beginning, for people.
        beats: Heartbeats so far.
    """

    token: str
    host: str
    machine: str
    pid: int
    born: int
    since: str
    beats: int = 0

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return cls(uuid.uuid4().hex, socket.gethostname(), _machine(), os.getpid(), _born(os.getpid()), now)

    @property
    def name(self) -> str:
        """The process as messages name it."""
        own = self.machine == _machine() and self.pid == os.getpid()
        which = "this process itself" if own else f"process {self.pid} on {self.host}"
        return f"{which} since {self.since}"


@contextmanager
def locked(store: RunStore, say: Callable[[str], None], path: str = LOCK) -> Iterator[None]:
    """Hold the lock of a place meanwhile; a directory that was made for it alone goes with it.

    Args:
        store: The run directory.
        say: Is told what is waited for, and what was taken over.
        path: Of the lock.

    Raises:
        StoreError: Somebody else holds it, or it cannot be written.
    """
    missing = _missing_folders(store, path)
    mine, ended = _take(store, path, say), threading.Event()
    keeper = threading.Thread(target=_keep, args=(store, path, mine, ended), name="lock", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join(BEAT_SECONDS)
        with suppress(StoreError):  # it cannot be reached: then it becomes stale by itself
            owner = _read(store, path)
            if owner is not None and owner.token == mine.token:
                store.delete(path)
        with suppress(OSError):
            for folder in missing:
                folder.rmdir()


def _take(store: RunStore, path: str, say: Callable[[str], None]) -> Owner:
    mine = Owner.here()
    while True:
        theirs = _read(store, path)
        if theirs is not None:
            if _is_alive(store, path, theirs, say):
                raise StoreError(
                    f"{store.name} is in use by {theirs.name} ({path}); wait until that has ended, or choose another "
                    "run.log_dir or name"
                )
            say(f"{store.name} was left in use by {theirs.name}, which has ended without a word; it is taken over")
        if _put(store, path, mine, instead=theirs):
            return mine


def _put(store: RunStore, path: str, mine: Owner, instead: Owner | None) -> bool:
    """Write a lock where there is none, or a stale one; False where another was quicker."""
    content = json.dumps(asdict(mine), indent=2)
    if not store.is_local:
        store.write(path, content.encode())
        time.sleep(SETTLE_SECONDS)
        return _read(store, path) == mine
    target = Path(store.uri, path)
    try:
        if instead is not None and _read(store, path) == instead:
            target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x") as file:
            file.write(content)
        target.chmod(0o600)
    except FileExistsError:
        time.sleep(LOOK_SECONDS / 10)  # whoever was quicker may still be writing
        return False
    except OSError as error:
        raise StoreError(
            f"{target} cannot be written ({error.strerror}); free some space or choose another run.log_dir"
        ) from None
    return True


def _read(store: RunStore, path: str) -> Owner | None:
    """Who holds a lock; None where nobody does. One that is damaged is somebody's of whom nothing is heard."""
    data = store.read(path)
    if data is None:
        return None
    try:
        said = json.loads(data)
        owner = Owner(**said)
        if all(type(said[field.name]).__name__ == field.type for field in fields(Owner) if field.name in said):
            return owner
    except (ValueError, TypeError, RecursionError):
        pass
    return Owner("", "an unknown machine", "", 0, 0, "an unknown time", -len(data))


def _is_alive(store: RunStore, path: str, owner: Owner, say: Callable[[str], None]) -> bool:
    """Whether an owner still is there: its process, or its heartbeat where that cannot be seen from here."""
    if owner.machine == _machine():
        return _runs(owner.pid) and owner.born in (0, _born(owner.pid))
    say(f"{store.name} is in use by {owner.name}; seeing for a minute at most whether that is alive")
    latest = time.monotonic() + STALE_SECONDS
    while time.monotonic() < latest:
        time.sleep(LOOK_SECONDS)
        now = _read(store, path)
        if now != owner:
            return now is not None
    return False


def _keep(store: RunStore, path: str, mine: Owner, ended: threading.Event) -> None:
    """Let the heart beat until the end, or until somebody else took the lock over."""
    while not ended.wait(BEAT_SECONDS):
        with suppress(StoreError):  # a full disk, a bucket that does not answer: the next one may come through
            owner = _read(store, path)
            if owner is not None and owner.token not in ("", mine.token):
                log.warning(
                    "%s was taken over by %s, since nothing was heard of this process; end one of the two",
                    store.name,
                    owner.name,
                )
                return
            mine = replace(mine, beats=mine.beats + 1)
            if not ended.is_set():
                store.write_json(path, asdict(mine))


def _missing_folders(store: RunStore, path: str) -> list[Path]:
    """Folders that are made for a lock, the innermost first."""
    if not store.is_local:
        return []
    with suppress(OSError):
        return [folder for folder in Path(store.uri, path).parents if not folder.exists()]
    return []


def _machine() -> str:
    """What tells this machine, and this container on it, from others."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _born(pid: int) -> int:
    """When a process began, in the system's own ticks; 0 where that is not known."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return 0
