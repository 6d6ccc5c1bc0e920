"""Lease bookkeeping of the training queue, without processes."""

from __future__ import annotations

import pytest

from raymeter.leases import Leases


@pytest.fixture
def leases():
    return Leases(todo=[4, 5], max_attempts=2)


def test_acquire_hands_out_each_model_once(leases):
    """Two slots get two models, a third gets none."""
    assert leases.acquire("a") == (4, 1)
    assert leases.acquire("b") == (5, 1)
    assert leases.acquire("c") is None


def test_acquire_again_means_the_worker_died(leases):
    """A restarted slot gets its model back as a second attempt, and the reason is told."""
    leases.acquire("a")
    assert leases.acquire("a") == (4, 2)
    assert leases.events == ["retrying model 4 (attempt 2 of 2): its worker died"]


def test_fail_gives_up_after_max_attempts(leases):
    """A model that fails twice is given up; the others go on."""
    leases.acquire("a")
    leases.fail("a", 4, "ValueError: bad")
    assert leases.acquire("a") == (4, 2)
    leases.fail("a", 4, "ValueError: bad")
    assert leases.failed == {4: "ValueError: bad"}
    assert leases.acquire("a") == (5, 1)


def test_release_returns_the_lease_of_a_slot_that_ended(leases):
    """The model of a slot that is gone goes to another slot."""
    leases.acquire("a")
    leases.release("a")
    leases.release("b")
    assert leases.acquire("b") == (4, 2)


def test_complete_and_snapshot(leases):
    """A snapshot tells what is done, and only the events that were not seen yet."""
    leases.acquire("a")
    leases.advance(4, 3)
    leases.complete("a", 4)
    leases.acquire("b")
    leases.release("b")
    done, epochs, failed, events = leases.snapshot(0)
    assert (done, epochs, failed, len(events)) == ({4}, {4: 3}, {}, 1)
    assert leases.snapshot(1)[3] == []


def test_start_ends_a_slot_that_never_gets_to_a_lease(leases):
    """Workers that die while they set themselves up once restarted for ever; now their slot ends."""
    for _ in range(2):
        assert leases.start("a")
        leases.start_failed("a", "OutOfMemoryError: pool")
    assert not leases.start("a")
    assert leases.why() == "a worker could not start: OutOfMemoryError: pool"
    assert leases.start("b")


def test_acquire_forgives_earlier_starts(leases):
    """A start that led to a lease does not count."""
    for _ in range(2):
        assert leases.start("a")
        leases.acquire("a")
        leases.complete("a", 4)
    assert leases.start("a")


def test_snapshot_after_a_restart_of_the_queue(leases):
    """A restarted queue has fewer events than were seen; all of them are shown."""
    leases.say("new")
    assert leases.snapshot(7)[3] == ["new"]
