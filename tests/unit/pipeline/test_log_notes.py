"""Lines of the library's log on the console of whoever waits for them."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack

from raymeter.pipeline.log_notes import log_as_notes
from raymeter.schema.reporter import Silent

log = logging.getLogger("raymeter")


def test_two_audits_hear_their_own_lines_once():
    """Two audits in two threads of one process had every line twice, each on both consoles."""
    said, before = [Silent(), Silent()], (log.level, log.propagate, list(log.handlers))
    both = threading.Barrier(2)

    def audit(number):
        with log_as_notes(said[number]):
            both.wait(10)
            log.info("checksum of %d", number)
            both.wait(10)

    threads = [threading.Thread(target=audit, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.lines for each in said] == [["checksum of 0"], ["checksum of 1"]]
    assert (log.level, log.propagate, list(log.handlers)) == before


def test_a_thread_without_a_console_is_heard_on_the_first():
    """What looks after the processes of Ray belongs to no audit."""
    said = [Silent(), Silent()]
    with ExitStack() as stack:
        stack.enter_context(log_as_notes(said[0]))
        stack.enter_context(log_as_notes(said[1]))
        thread = threading.Thread(target=log.warning, args=("stopped",))
        thread.start()
        thread.join()
        log.info("own")
    assert sum("stopped" in each.lines for each in said) == 1
    assert "own" in said[1].lines and "own" not in said[0].lines
