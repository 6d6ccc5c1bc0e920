"""Work on millions of records in threads: what sorts and searches in NumPy and SciPy does not hold the GIL."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

MOST_POINTS = 1_000_000  # records beyond which statistics run in threads, and whole ROC curves are not kept
MOST_THREADS = 2  # each sorts copies of a target's scores: more threads take more memory
T = TypeVar("T")
U = TypeVar("U")


def for_each(function: Callable[[T], U], items: Iterable[T], records: int) -> list[U]:
    """Results in the order of the items; in this thread where there are few records."""
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    if records <= MOST_POINTS or threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))


def in_turn(function: Callable[[T], U], items: Iterable[T], records: int) -> Iterator[U]:
    """As `for_each`, one result after another: no more of them are made ahead than there are threads."""
    threads = min(MOST_THREADS, os.cpu_count() or 1)
    if records <= MOST_POINTS or threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[U]] = deque()
        for item in items:
            ahead.append(pool.submit(function, item))
            if len(ahead) == threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
