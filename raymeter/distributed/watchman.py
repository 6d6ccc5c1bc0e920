"""Looks after the processes of Ray while there is work: what was stopped goes on or is replaced, what died is told.

Ray itself waits for a stopped process as long as it stays so, and where one of its services has died its C++ code ends
the driver after a minute, without a word.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray.exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raymeter.distributed.ray_internals.on_demand import busy_nodes, own_processes
from raymeter.distributed.stopped_processes import (
    agents_among,
    below,
    end_agents,
    look_here,
    stopped_among,
    wake_or_end,
)
from raymeter.errors import RunError
from raymeter.errors.endings import end_main_thread, leave_at_once
from raymeter.errors.last_word import ended_after_this_process, last_word

log = logging.getLogger("raymeter")
LOOK_SECONDS = 3.0  # between two looks
STOPPED_SECONDS = 15.0  # that a process must have been stopped for: somebody may be about to let it go on
START_SECONDS = 0.5  # between two looks at a Ray that is being started
NODE_SECONDS = 10.0  # between two looks at the nodes of a cluster; what is stopped in two of them is ended
WAIT_SECONDS = 0.5  # that an end of the work is not noticed while nodes are waited for
JOIN_SECONDS = 10.0
NEEDED = ("gcs_server", "raylet")  # services without which there is no Ray
LEAVE_SECONDS = 20.0  # that the driver has to come to an end; it may wait in Ray's C++ code, which asks nobody


@contextmanager
def watched(embedded: bool) -> Iterator[None]:
    """Look after the processes of a Ray that was started here, or after this driver's on a cluster."""
    watchman = Watchman() if embedded else ClusterWatchman()
    if embedded:
        watchman.look()  # one that is killed at once has agents, too
    watchman.start()
    try:
        yield
    finally:
        watchman.done.set()
        if not embedded:  # a call of Ray's that is under way when Ray is left may end this process in C++
            watchman.join(JOIN_SECONDS)
        ended_after_this_process(())


@contextmanager
def start_watched() -> Iterator[None]:
    """Know the agents of a Ray that is being started, for the case that this process is killed meanwhile."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(START_SECONDS):
            raylets = [process.pid for process in below([os.getpid()]) if process.name == "raylet"]
            ended_after_this_process(agents_among(below(raylets)))

    threading.Thread(target=look, name="start", daemon=True).start()
    try:
        yield
    finally:
        done.set()


class Watchman(threading.Thread):
    """Looks every few seconds, until there is nothing more to look after."""

    def __init__(self) -> None:
        super().__init__(name="watchman", daemon=True)
        self.done, self.looked = threading.Event(), time.monotonic()
        self.in_main_thread = threading.current_thread() is threading.main_thread()
        self.agents: set[int] = set()
        self.since: dict[int, float] = {}  # when each stopped process was first seen so

    def run(self) -> None:
        while not self.done.wait(LOOK_SECONDS):
            services = own_processes()
            dead = [kind for kind, alive in services.values() if kind in NEEDED and not alive]
            if dead and not self.done.is_set():
                self._give_up(dead[0])
                return
            self.look()

    def look(self) -> None:
        """See which processes have been stopped for long, and do something about it."""
        services, now = own_processes(), time.monotonic()
        if now - self.looked > 3 * LOOK_SECONDS:
            self.since.clear()  # this process was stopped too, with all others perhaps
        self.looked = now
        raylets = [pid for pid, (kind, _) in services.items() if kind == "raylet"]
        processes = below(raylets, services)
        self.agents, stopped = agents_among(processes) or self.agents, stopped_among(processes)
        ended_after_this_process(self.agents)
        self.since = {pid: self.since.get(pid, now) for pid in stopped}
        for pid, name in stopped.items():
            if now - self.since[pid] >= STOPPED_SECONDS and (done := wake_or_end(pid, name)):
                del self.since[pid]
                log.warning("%s (process %d) was stopped for %.0f s; %s", name, pid, STOPPED_SECONDS, done)

    def _give_up(self, kind: str) -> None:
        """End the work, for nothing can be computed any more."""
        line = (
            f"Ray's {kind} on this machine has ended (killed, or out of memory?); what is finished is kept: start the "
            "same command again to continue"
        )
        log.debug(line)
        with last_word(f"error: {line}"):
            if self.in_main_thread and end_main_thread(RunError(line)):
                if not self.done.wait(LEAVE_SECONDS):
                    leave_at_once(1)
            else:
                log.warning(line)
        end_agents(self.agents)


class ClusterWatchman(threading.Thread):
    """Looks at every busy node by a small task, since nobody elsewhere sees its processes, and at this driver's own."""

    def __init__(self) -> None:
        super().__init__(name="watchman", daemon=True)
        self.done = threading.Event()
        self.job, self.here = ray.get_runtime_context().get_job_id(), ray.get_runtime_context().get_node_id()
        self.task: Any = ray.remote(num_cpus=0, max_retries=0)(look_here)
        self.known: dict[str, set[int]] = {}  # stopped processes by node, as they were last seen

    def run(self) -> None:
        while not self.done.wait(NODE_SECONDS):
            with suppress(ray.exceptions.RayError, OSError):  # Ray goes, or is not well: others tell that
                self.look()

    def look(self) -> None:
        """Ask all nodes, and wait for those that answer."""
        looks: dict[Any, str] = {}
        for node in {self.here, *busy_nodes()}:
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            known = sorted(self.known.get(node, ()))
            looks[self.task.options(scheduling_strategy=there).remote(self.job, known)] = node
        self.known = {}
        ready: list[Any] = []
        late, latest = list(looks), time.monotonic() + NODE_SECONDS
        while late and time.monotonic() < latest and not self.done.is_set():
            more, late = ray.wait(late, num_returns=len(late), timeout=WAIT_SECONDS)
            ready += more
        for look in late:
            ray.cancel(look, force=True)
        for look in ready:
            with suppress(ray.exceptions.RayError):  # a node that has gone
                stopped, lines = ray.get(look)
                self.known[looks[look]] = set(stopped)
                for line in lines:
                    log.warning(line)
