"""Which model is leased to which slot: plain bookkeeping, without Ray; `train.py` runs it as an actor."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Leases:
    """Hands out models to slots, counts attempts, remembers what was done; `train.py` runs it as an actor."""

    todo: list[int]
    max_attempts: int
    held: dict[str, int] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    trouble: str = ""

    def start(self, slot: str) -> bool:
        """A slot's worker begins to set itself up; False after `max_attempts` such starts that led to no lease."""
        if slot in self.held:
            self.fail(slot, self.held[slot], "its worker died")
        self.starts[slot] = self.starts.get(slot, 0) + 1
        return self.starts[slot] <= self.max_attempts

    def start_failed(self, slot: str, reason: str) -> None:
        """A worker could not set itself up: torch is missing on its node, or the pool does not fit on its GPU."""
        self.trouble = f"a worker could not start: {reason}"
        self.events.append(f"{self.trouble} (start {self.starts.get(slot, 0)} of {self.max_attempts})")

    def acquire(self, slot: str) -> tuple[int, int] | None:
        """Next (model, attempt) for a slot, or None when nothing is left.

        A slot that asks while it still holds a lease has been restarted: its worker died.
        """
        if slot in self.held:
            self.fail(slot, self.held[slot], "its worker died")
        self.starts[slot] = 0
        if not self.todo:
            return None
        model = self.todo.pop(0)
        self.held[slot] = model
        self.attempts[model] = self.attempts.get(model, 0) + 1
        return model, self.attempts[model]

    def advance(self, model: int, epoch: int) -> None:
        """A model has finished an epoch."""
        self.epochs[model] = epoch

    def complete(self, slot: str, model: int) -> None:
        """A model is done and stored."""
        self.held.pop(slot, None)
        self.done.add(model)

    def fail(self, slot: str, model: int, reason: str) -> None:
        """An attempt has ended without a model: queue it again, or give it up after `max_attempts`."""
        self.held.pop(slot, None)
        tries = self.attempts.get(model, 0)
        if tries < self.max_attempts:
            self.todo.insert(0, model)
            self.events.append(f"retrying model {model} (attempt {tries + 1} of {self.max_attempts}): {reason}")
        else:
            self.failed[model] = reason
            self.events.append(f"giving up model {model} after {tries} attempts: {reason}")

    def say(self, line: str) -> None:
        """A line for the person at the terminal."""
        self.events.append(line)

    def release(self, slot: str) -> None:
        """A slot has ended for good; its lease, if any, goes back."""
        if slot in self.held:
            self.fail(slot, self.held[slot], "its slot ended")

    def snapshot(self, events_seen: int) -> tuple[set[int], dict[int, int], dict[int, str], list[str]]:
        """Done models, epochs of the others, failed models, and the events after the first `events_seen`.

        A queue that was restarted has fewer events than were seen; then all it has are new.
        """
        new = self.events[events_seen:] if events_seen <= len(self.events) else self.events
        return self.done, self.epochs, self.failed, new

    def why(self) -> str:
        """The last reason why a worker could not start, if there was one."""
        return self.trouble
