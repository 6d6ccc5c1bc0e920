"""Processes that were stopped (SIGSTOP, a frozen debugger's leftover) and do nothing, but hold what they have."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
STOPPED = "T"  # of what a debugger holds it is t
NO_JOB = "ffffffff"
OWN = (
    "Leases",
    "RayTrainWorker",
    "TrainController",
    "SignalActor",
    "read_chunk",
    "_fit_one",
    "ImplicitFunc",
)  # parts of names
AGENTS = {"dashboard/agent.py": "ray::DashboardAgent", "runtime_env/agent/main.py": "ray::RuntimeEnvAgent"}
KEPT = tuple(AGENTS.values())  # a raylet ends with its agents


class Process(NamedTuple):
    """One process as the system lists it."""

    pid: int
    parent: int
    state: str
    name: str


def below(parents: Collection[int], others: Collection[int] = ()) -> list[Process]:
    """Processes that are children of some, or are given themselves."""
    listed = _from_proc() if PROC.joinpath("self/stat").exists() else _from_ps()
    return [
        Process(process.pid, process.parent, process.state, _first_word(process.name or _command(process.pid)))
        for process in listed
        if process.parent in parents or process.pid in others
    ]


def stopped_among(processes: Collection[Process]) -> dict[int, str]:
    """Names of those that are stopped."""
    return {process.pid: process.name for process in processes if process.state == STOPPED}


def agents_among(processes: Collection[Process]) -> set[int]:
    """Those that are agents of a raylet, which have its death to report before they end, for a minute or so."""
    return {process.pid for process in processes if process.name.startswith(KEPT)}


def end_agents(pids: Collection[int]) -> None:
    """End agents whose raylet is no more."""
    for pid in agents_among(below([], pids)):
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def wake_or_end(pid: int, name: str) -> str:
    """End a stopped process whose place another one takes, have any other go on; what was done, empty where it is gone.

    What does Ray's work is ended: it may be stopped for a reason. Ray's services have nobody to take their place.
    """
    replaced = name.startswith("ray::") and not name.startswith(KEPT)
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL if replaced else signal.SIGCONT)
        return "it is ended, and another takes its place" if replaced else "it is told to go on"
    return ""


def look_here(job: str, known: Collection[int]) -> tuple[dict[int, str], list[str]]:
    """Stopped workers of a job on this node; those that were known to be so are ended. Runs as a Ray task.

    Returns:
        Their names by their process ids, and a line for each that was ended.
    """
    lines, stopped = [], {}
    for pid, name in stopped_among(below([os.getppid()])).items():
        if not _is_of(job, pid, name):
            continue
        stopped[pid] = name
        if pid in known and (done := wake_or_end(pid, name)):
            lines.append(f"{name} (process {pid} on {socket.gethostname()}) was stopped; {done}")
    return stopped, lines


def _is_of(job: str, pid: int, name: str) -> bool:
    """Whether a worker is a job's; of one that Ray had started before there was a job, the name tells enough."""
    its_job = job_of(pid)
    return its_job == job or (its_job == NO_JOB and any(own in name for own in OWN))


def job_of(pid: int) -> str:
    """The job that a worker of Ray was started for; empty where that is not known."""
    with suppress(OSError):
        for entry in (PROC / str(pid) / "environ").read_bytes().split(b"\0"):
            name, _, value = entry.partition(b"=")
            if name == b"RAY_JOB_ID":
                return value.decode(errors="replace")
    return ""


def _from_proc() -> list[Process]:
    found = []
    for folder in PROC.iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            found.append(Process(int(folder.name), int(parent), state, ""))
    return found


def _command(pid: int) -> str:
    with suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    return ""


def _first_word(command: str) -> str:
    """The name that a process gave itself, or the program that it is; of an agent the one that it will give itself."""
    for script, name in AGENTS.items():
        if script in command:
            return name
    word = command.replace("\0", " ").split(" ")[0]
    return word if word.startswith("ray::") else word.rpartition("/")[2]


def _from_ps() -> list[Process]:
    """Where there is no /proc: macOS."""
    try:
        lines = subprocess.run(
            ["ps", "-axo", "pid=,ppid=,state=,command="], capture_output=True, text=True, timeout=10, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in lines:
        with suppress(ValueError):
            pid, parent, state, command = line.split(None, 3)
            found.append(Process(int(pid), int(parent), state[:1], command))
    return found
