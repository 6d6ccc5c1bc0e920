"""A call of the user's function with a limit of time, and whether making it again could change what became of it."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from raymeter.errors import first_line

PASSING = (408, 409, 423, 425, 429)  # client errors of HTTP that pass by themselves
FOR_GOOD = (501, 505)  # server errors that do not
DEFECTS = (NameError, ImportError, SyntaxError, NotImplementedError)  # of the function itself
MOST_CAUSES = 10  # that an exception may have had, one after the other
LONGEST_LINE = 200
ADDRESS = re.compile(r"(\w[\w+.-]*://)[^\s'\"<>]*")


class LimitedCall:
    """Calls a function in one thread of its own, the same for all calls until one takes too long.

    Args:
        function: Of a batch of records.
        seconds: After which a call counts as failed. Its thread is left to itself: no thread can be ended from outside.
    """

    def __init__(self, function: Callable[[np.ndarray], Any], seconds: float) -> None:
        self.function, self.seconds = function, seconds
        self._batches: queue.SimpleQueue[np.ndarray] | None = None
        self._outcomes: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def __call__(self, batch: np.ndarray) -> Any:
        """What the function returns; raises what it raises, or TimeoutError."""
        if self._batches is None:
            self._batches, self._outcomes = queue.SimpleQueue(), queue.SimpleQueue()
            threading.Thread(
                target=_serve, args=(self.function, self._batches, self._outcomes), name="query", daemon=True
            ).start()
        self._batches.put(batch)
        try:
            answer, error = self._outcomes.get(timeout=self.seconds)
        except queue.Empty:
            self._batches = None
            raise TimeoutError(f"no answer within {self.seconds:g} s (audit.target.timeout)") from None
        if error is not None:
            raise error
        return answer


def _serve(
    function: Callable[[np.ndarray], Any],
    batches: queue.SimpleQueue[np.ndarray],
    outcomes: queue.SimpleQueue[tuple[Any, BaseException | None]],
) -> None:
    while True:
        batch = batches.get()
        try:
            outcomes.put((function(batch), None))
        except BaseException as error:  # sys.exit, too: whoever waits must hear of it
            outcomes.put((None, error))


def is_final(error: BaseException) -> bool:
    """Whether a call would fail like this again: it was refused (401, 403, 404, ...), or the function is at fault."""
    for problem in _causes(error):
        status = _http_status(problem)
        if status is not None:
            return (400 <= status < 500 and status not in PASSING) or status in FOR_GOOD
    return any(isinstance(problem, DEFECTS) for problem in _causes(error))


def line_of(error: BaseException) -> str:
    """Type and first line of an exception in bounded length; of addresses in it no more than how they begin.

    A key may stand anywhere in an address, and services repeat it in their errors.
    """
    text = ADDRESS.sub(r"\1...", f"{type(error).__name__}: {first_line(error, '')}")
    return text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 3]}..."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, and those in whose handling it was raised."""
    for _ in range(MOST_CAUSES):
        if error is None:
            return
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _http_status(error: BaseException) -> int | None:
    """The status of an HTTP answer, wherever a client keeps it: urllib, requests, httpx, aiohttp, botocore, ..."""
    response = getattr(error, "response", None)
    metadata = response.get("ResponseMetadata") if isinstance(response, dict) else None
    found = [getattr(error, name, None) for name in ("code", "status", "status_code")]
    found += [getattr(response, name, None) for name in ("status_code", "status")]
    found += [metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None]
    return next((int(each) for each in found if isinstance(each, int) and 400 <= each < 600), None)
