"""Lease bookkeeping of the training queue, without processes."""

from __future__ import annotations

import pytest

from raymeter.distributed.training.leases import Leases


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases(clock):
    return Leases(todo=[4, 5], max_attempts=2, clock=clock)


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


def test_a_lost_node_counts_against_nobody(leases):
    """However often its node goes, a model is tried again: after three losses it has failed not once."""
    for node in ("n1", "n2", "n3"):
        leases.place("a", [node], lost=["n0", "n1", "n2"])
        assert leases.acquire("a")[0] == 4
    leases.release("a", lost=["n3"])
    assert leases.failures == {}
    assert leases.todo == [4, 5]
    assert leases.events == ["model 4 goes on elsewhere: its node was lost"] * 3
    assert [lease["node"] for lease in leases.history()] == ["n1", "n2", "n3"]


def test_a_slot_whose_node_is_called_back_stops_and_gives_its_model_back(leases):
    """The order comes with the next question; the model goes to a slot elsewhere, and none to this one."""
    leases.place("a", ["spot"])
    leases.acquire("a")
    assert leases.watch("a", 4, 1) == "go on"
    leases.leave_nodes(["spot"])
    assert leases.watch("a", 4, 2) == "stop"
    leases.give_back("a", "its slot was called back")
    assert leases.acquire("a") is None
    leases.place("b", ["other"])
    assert leases.acquire("b") == (4, 2)
    assert leases.failures == {}


def test_every_node_of_a_slot_counts(leases):
    """Where several workers train one model, a node of the later ones once went unseen, and cost the model an attempt."""
    leases.place("a", ["stays", "spot"])
    leases.acquire("a")
    leases.leave_nodes(["spot"])
    assert leases.watch("a", 4, 1) == "stop"
    leases.place("b", ["stays", "weak"])
    leases.acquire("b")
    leases.release("a")
    leases.release("b", lost=["weak"])
    assert leases.failures == {}
    assert [lease["node"] for lease in leases.history()] == ["stays", "stays"]


def test_stop_ends_all_slots_and_starts_none(leases):
    """After an interrupt nothing is handed out and everybody is to save."""
    leases.acquire("a")
    leases.stop()
    assert leases.watch("a", 4, 0) == "stop"
    assert leases.acquire("b") is None
    assert not leases.start("c")
    assert leases.snapshot(0).wanted == 0


def test_a_reason_that_holds_for_all_ends_all(leases):
    """A full disk is no failure of a model's, and trying it again would fill the time as well."""
    leases.acquire("a")
    leases.acquire("b")
    leases.halt("a", "the disk is full")
    leases.halt("b", "the disk is full, and has been for long")
    assert (leases.failures, leases.failed, leases.events) == ({}, {}, [])
    assert leases.snapshot(0).fatal == "the disk is full"
    assert (leases.snapshot(0).held, leases.snapshot(0).wanted) == (0, 0)
    assert not leases.start("c")


def test_a_straggler_is_tried_by_a_second_slot_and_the_first_to_store_it_does(leases, clock):
    """Once others took 10 s and nothing else is left, a model that takes 71 s is handed out once more, but not twice."""
    leases.acquire("a")
    leases.acquire("b")
    clock.now = 10
    leases.complete("b", 5)
    assert leases.acquire("b") is None
    clock.now = 71
    assert leases.snapshot(0).wanted == 1
    assert leases.acquire("b") == (4, 2)
    assert leases.acquire("c") is None
    assert leases.may_store("b", 4)
    assert not leases.may_store("a", 4)
    leases.complete("b", 4)
    assert leases.watch("a", 4, 3) == "leave"
    leases.give_back("a", "another slot was first")
    assert (leases.todo, leases.done, leases.failures) == ([], {4, 5}, {})


def test_a_slot_that_hangs_is_no_work_once_its_model_is_done(leases, clock):
    """An audit once waited for it for ever, and handed the finished model out again some hundred times a second."""
    leases.acquire("a")
    leases.acquire("b")
    leases.complete("b", 5)
    clock.now = 100
    assert leases.acquire("b") == (4, 2)
    leases.complete("b", 4)
    assert leases.acquire("b") is None
    assert (leases.snapshot(0).held, leases.snapshot(0).wanted) == (0, 0)


def test_the_right_to_store_goes_on_when_its_owner_dies(leases, clock):
    """A slot that was to store a model and died does not keep others from it."""
    leases.acquire("a")
    leases.acquire("b")
    clock.now = 10
    leases.complete("b", 5)
    clock.now = 100
    leases.acquire("b")
    assert leases.may_store("b", 4)
    leases.release("b")
    assert leases.may_store("a", 4)
    assert leases.failed == {}


def test_a_restarted_queue_learns_what_is_going_on(leases):
    """It starts from the whole list again; slots that ask whether to go on take their models off it."""
    assert leases.watch("a", 5, 2) == "go on"
    assert leases.todo == [4]
    assert leases.snapshot(0).held == 1
    leases.complete("a", 5)
    leases.complete("b", 4)
    assert (leases.todo, leases.done) == ([], {4, 5})


def test_a_restarted_queue_hands_out_a_model_that_failed_meanwhile_once(leases):
    """It has the whole list: the model of which it hears first that it failed was once on it twice."""
    leases.fail("a", 4, "ValueError: bad")
    assert (leases.acquire("a"), leases.acquire("b"), leases.acquire("c")) == ((4, 1), (5, 1), None)


def test_complete_and_snapshot(leases):
    """A snapshot tells what is done, and only the events that were not seen yet."""
    leases.acquire("a")
    leases.watch("a", 4, 3)
    leases.complete("a", 4)
    leases.acquire("b")
    leases.release("b")
    seen = leases.snapshot(0)
    assert (seen.done, seen.epochs, seen.failed, len(seen.events)) == ({4}, {4: 3}, {}, 1)
    assert (seen.held, seen.wanted, seen.retries) == (0, 1, 1)
    assert leases.snapshot(1).events == []


def test_workers_that_never_get_to_a_lease_are_given_up(leases):
    """Workers that die while they set themselves up once restarted for ever; now slots end, and none is started."""
    for _ in range(2):
        leases.place("a", ["n"])
        assert leases.start("a")
        leases.died("a", "OutOfMemoryError: pool")
    leases.place("a", ["n"])
    assert not leases.start("a")
    assert leases.snapshot(0).stuck
    assert leases.why() == "a worker could not start: OutOfMemoryError: pool"
    assert not leases.start("b")


def test_workers_that_cannot_even_ask_are_given_up(leases):
    """Where raymeter is missing on the nodes, say: an audit once tried to start such workers for ever, silently."""
    for _ in range(3):
        leases.place("a", ["n"])
        leases.died("a", "ModuleNotFoundError: raymeter")
    assert leases.snapshot(0).stuck


def test_slots_that_end_without_ever_having_workers_are_given_up(leases):
    """A run of Ray Train that fails at once was replaced by the next one, for ever."""
    leases.release("a", broken=True)
    leases.release("b")
    assert not leases.snapshot(0).stuck
    leases.release("c", broken=True)
    assert leases.snapshot(0).stuck


def test_many_slots_may_start_at_once(leases):
    """Starting is no failure, and neither is a node that goes meanwhile."""
    leases.todo = list(range(10))
    for i in range(10):
        leases.place(f"slot {i}", [f"node {i}"])
    for i in range(10):
        leases.place(f"slot {i}", ["new"], lost=[f"node {i}"])
    assert not leases.snapshot(0).stuck


def test_acquire_forgives_earlier_starts(leases):
    """A start that led to a lease does not count."""
    leases.place("a", ["n"])
    leases.place("a", ["n"])
    leases.acquire("a")
    leases.complete("a", 4)
    leases.place("a", ["n"])
    leases.place("a", ["n"])
    assert leases.start("a")


def test_a_slot_that_finds_no_work_need_not_start(leases):
    """Late slots end at once and free what they hold."""
    leases.acquire("a")
    leases.acquire("b")
    assert not leases.start("c")


def test_snapshot_after_a_restart_of_the_queue(leases):
    """A restarted queue has fewer events than were seen; all of them are shown."""
    leases.say("new")
    assert leases.snapshot(7).events == ["new"]


def test_what_was_introduced_is_kept_until_its_slot_ends(leases):
    """What can be called off is what has not ended."""
    leases.introduce("a", "run a")
    leases.introduce("b", "run b")
    leases.release("a")
    assert leases.controllers() == ["run b"]
