"""Which model is leased to which slot: plain bookkeeping, without Ray; `train_references.py` runs it as an actor."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal

Order = Literal["go on", "stop", "leave"]
SLOW, SLOW_SECONDS = 2.0, 60.0  # a straggler takes so many times the median, and so many seconds more


@dataclass
class Lease:
    """One attempt at one model; `outcome` is empty while it lasts."""

    model: int
    slot: str
    attempt: int
    node: str
    started: float
    ended: float = 0.0
    outcome: str = ""


@dataclass(frozen=True)
class Snapshot:
    """What the driver sees: finished and failed models, epochs of the others, new events, and the work there is.

    `held` slots have the lease of a model that is not done, and `wanted` leases could be handed out besides; `stuck`
    says that workers do not get as far as asking for one; `fatal` is why nothing more is begun, where there is
    a reason that every attempt would end for.
    """

    done: set[int]
    epochs: dict[int, int]
    failed: dict[int, str]
    events: list[str]
    held: int
    wanted: int
    stuck: bool
    retries: int
    fatal: str = ""
    introduced: frozenset[str] = frozenset()  # slots whose controllers are up, whether or not they have a node


@dataclass
class Leases:
    """Hands out models to slots, counts attempts, remembers what was done.

    An attempt counts against its model where the model's code raised or its worker died alone. A node that was
    lost or called back counts against nobody. When nothing is left to hand out, a model that takes much longer
    than others did may be given to a second slot; the first that comes to store it does.
    """

    todo: list[int]
    max_attempts: int
    held: dict[str, Lease] = field(default_factory=dict)
    failures: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    past: list[Lease] = field(default_factory=list)
    nodes: dict[str, Collection[str]] = field(default_factory=dict)
    leaving: set[str] = field(default_factory=set)
    storing: dict[int, str] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)
    starting: set[str] = field(default_factory=set)
    failed_starts: int = 0
    stopped: bool = False
    trouble: str = ""
    fatal: str = ""
    clock: Callable[[], float] = time.time

    def place(self, slot: str, nodes: Collection[str], lost: Collection[str] = ()) -> None:
        """A slot has new workers, which begin to set themselves up; what it had before is gone.

        Args:
            slot: Which.
            nodes: Where its workers run, the first one first.
            lost: Nodes that are dead: what ran there did not fail by itself.
        """
        self._end_of_worker(slot, lost, "its worker died")
        self.nodes[slot] = tuple(nodes)
        self.starting.add(slot)

    def start(self, slot: str) -> bool:
        """Whether a slot's workers are to set themselves up: there is work, and workers do not only fail to."""
        if self.stopped or not self._wanted() or self._stuck():
            self.starting.discard(slot)
            return False
        return True

    def died(self, slot: str, reason: str) -> None:
        """Workers of a slot have ended with an error.

        It is reported where they had not got as far as a lease: raymeter or torch is missing on their node, or the pool
        does not fit on their GPU.
        """
        if slot in self.starting and not self._stuck():
            self.trouble = f"a worker could not start: {reason}"
            self.events.append(f"{self.trouble} (start {self.failed_starts + 1} of {self.max_attempts})")

    def acquire(self, slot: str) -> tuple[int, int] | None:
        """Next (model, attempt) for a slot, or None when there is nothing for it to do."""
        self._end_of_worker(slot, (), "its worker died")
        self.starting.discard(slot)
        self.failed_starts = 0
        if self._is_called_back(slot):
            return None
        if self.todo:
            model = self.todo.pop(0)
        elif late := self._stragglers():
            model = late[0]
            self.events.append(f"model {model} takes long; a second slot tries it too")
        else:
            return None
        lease = self._lease(slot, model)
        return model, lease.attempt

    def watch(self, slot: str, model: int, epoch: int) -> Order:
        """What a worker is to do with the model that it trains: go on, stop (and save), or leave it to another.

        A queue that was restarted learns here who holds what.
        """
        if model in self.done:
            return "leave"
        if slot not in self.held:
            if model in self.todo:
                self.todo.remove(model)
            self._lease(slot, model)
        self.epochs[model] = epoch
        return "stop" if self._is_called_back(slot) else "go on"

    def may_store(self, slot: str, model: int) -> bool:
        """Whether this slot is the one to store a trained model: the first that asks is."""
        if model in self.done:
            return False
        owner = self.storing.get(model)
        if owner is None or owner not in self.held or self.held[owner].model != model:
            self.storing[model] = slot
        return self.storing[model] == slot

    def complete(self, slot: str, model: int) -> None:
        """A model is done and stored."""
        self._end(slot, "done" if model not in self.done else "done elsewhere")
        self.done.add(model)
        self.failed.pop(model, None)
        if model in self.todo:
            self.todo.remove(model)

    def fail(self, slot: str, model: int, reason: str) -> None:
        """An attempt has ended without a model: queue it again, or give it up after `max_attempts`."""
        self._end(slot, reason)
        self.failures[model] = tries = self.failures.get(model, 0) + 1
        if model in self.done or model in self.todo or any(lease.model == model for lease in self.held.values()):
            return
        if tries < self.max_attempts:
            self.todo.insert(0, model)
            self.events.append(f"retrying model {model} (attempt {tries + 1} of {self.max_attempts}): {reason}")
        else:
            self.failed[model] = reason
            self.events.append(f"giving up model {model} after {tries} attempts: {reason}")

    def halt(self, slot: str, reason: str) -> None:
        """An attempt has ended for a reason that every other would end for, too: nothing more is begun."""
        self._end(slot, reason)
        self.fatal = self.fatal or reason
        self.stop()

    def give_back(self, slot: str, reason: str) -> None:
        """A slot hands its model back without blame; it goes on from its checkpoint elsewhere."""
        lease = self._end(slot, reason)
        if lease is None or lease.model in self.done or any(o.model == lease.model for o in self.held.values()):
            return
        self.todo.insert(0, lease.model)
        if not self.stopped:
            self.events.append(f"model {lease.model} goes on elsewhere: {reason}")

    def say(self, line: str) -> None:
        """A line for the person at the terminal."""
        self.events.append(line)

    def release(self, slot: str, lost: Collection[str] = (), *, broken: bool = False) -> None:
        """A slot has ended for good, `broken` by an error; its lease, if any, goes back."""
        self.runs.pop(slot, None)
        self._end_of_worker(slot, lost, "its slot ended")
        self.failed_starts += broken and slot not in self.nodes  # it never had a worker

    def leave_nodes(self, nodes: Collection[str]) -> None:
        """Slots on these nodes are to save and stop: the nodes are being called back."""
        self.leaving |= set(nodes)

    def stop(self) -> None:
        """All slots are to save and stop."""
        self.stopped = True

    def introduce(self, slot: str, run: Any) -> None:
        """What to call off if the slot is not needed any more."""
        self.runs[slot] = run

    def controllers(self) -> list[Any]:
        """What was introduced for the slots that have not ended."""
        return list(self.runs.values())

    def snapshot(self, events_seen: int) -> Snapshot:
        """State of the work; a queue that was restarted has fewer events than were seen, and then all are new."""
        new = self.events[events_seen:] if events_seen <= len(self.events) else self.events
        retries = sum(lease.outcome not in ("done", "done elsewhere") for lease in self.past)
        return Snapshot(
            self.done,
            self.epochs,
            self.failed,
            new,
            sum(lease.model not in self.done for lease in self.held.values()),
            self._wanted(),
            self._stuck(),
            retries,
            self.fatal,
            frozenset(self.runs),
        )

    def history(self) -> list[dict[str, Any]]:
        """Every lease that has ended, in the order of their ends: who tried what, where, when, and what came of it."""
        return [vars(lease) for lease in self.past]

    def why(self) -> str:
        """The last reason why a worker could not start, if there was one."""
        return self.trouble

    def _lease(self, slot: str, model: int) -> Lease:
        attempt = 1 + sum(lease.model == model for lease in (*self.past, *self.held.values()))
        node = next(iter(self.nodes.get(slot, ())), "")
        self.held[slot] = lease = Lease(model, slot, attempt, node, self.clock())
        return lease

    def _end(self, slot: str, outcome: str) -> Lease | None:
        lease = self.held.pop(slot, None)
        if lease is not None:
            lease.ended, lease.outcome = self.clock(), outcome
            self.past.append(lease)
        return lease

    def _end_of_worker(self, slot: str, lost: Collection[str], reason: str) -> None:
        """Take back what a slot still holds although its worker is gone."""
        blameless = any(node in lost or node in self.leaving for node in self.nodes.get(slot, ()))
        if slot in self.starting:
            self.starting.remove(slot)
            self.failed_starts += not blameless
        if slot in self.held and blameless:
            self.give_back(slot, "its node was lost")
        elif slot in self.held:
            self.fail(slot, self.held[slot].model, reason)

    def _is_called_back(self, slot: str) -> bool:
        return self.stopped or any(node in self.leaving for node in self.nodes.get(slot, ()))

    def _wanted(self) -> int:
        return 0 if self.stopped else len(self.todo) or len(self._stragglers())

    def _stuck(self) -> bool:
        return self.failed_starts >= self.max_attempts

    def _stragglers(self) -> list[int]:
        """Models in training at one slot only that take much longer than the finished ones did, slowest first."""
        took = [lease.ended - lease.started for lease in self.past if lease.outcome == "done"]
        if not took:
            return []
        limit = max(SLOW * median(took), median(took) + SLOW_SECONDS)
        slots: dict[int, list[Lease]] = {}
        for lease in self.held.values():
            if lease.model not in self.done:
                slots.setdefault(lease.model, []).append(lease)
        alone = [leases[0] for leases in slots.values() if len(leases) == 1]
        late = [lease for lease in alone if self.clock() - lease.started > limit]
        return [lease.model for lease in sorted(late, key=lambda lease: lease.started)]
