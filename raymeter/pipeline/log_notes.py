"""What the library's parts log (checksums of data files, say), shown as lines under the running stage."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from raymeter.schema.reporter import Reporter


class _Notes(logging.Handler):
    """Shows each record once: on the console of the thread that it comes from, else on the one that came first."""

    def __init__(self) -> None:
        super().__init__()
        self.consoles: dict[int, Reporter] = {}
        self.before: tuple[int, bool] = (logging.NOTSET, True)

    def emit(self, record: logging.LogRecord) -> None:
        consoles = self.consoles
        console = consoles.get(record.thread or 0) or next(iter(consoles.values()), None)
        if console is not None:
            console.note(record.getMessage())


_notes, _lock = _Notes(), threading.Lock()


@contextmanager
def log_as_notes(console: Reporter) -> Iterator[None]:
    """Show meanwhile on a console what this thread logs; an audit in another thread has its own."""
    logger, thread = logging.getLogger("raymeter"), threading.get_ident()
    with _lock:
        if not _notes.consoles:
            _notes.before = logger.level, logger.propagate
            logger.addHandler(_notes)
            logger.setLevel(logging.INFO)
            logger.propagate = False
        outer = _notes.consoles.get(thread)
        _notes.consoles[thread] = console
    try:
        yield
    finally:
        with _lock:
            del _notes.consoles[thread]
            if outer is not None:
                _notes.consoles[thread] = outer
            if not _notes.consoles:
                logger.removeHandler(_notes)
                logger.level, logger.propagate = _notes.before
