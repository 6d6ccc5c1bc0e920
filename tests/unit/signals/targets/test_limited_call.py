"""A call with a limit of time: threads, errors of every client of HTTP, and lines without keys."""

from __future__ import annotations

import threading
import urllib.error
from types import SimpleNamespace

import numpy as np
import pytest

from raymeter.signals.targets.limited_call import LimitedCall, is_final, line_of

BATCH = np.zeros((1, 1))


def test_calls_share_a_thread_until_one_takes_too_long():
    """What belongs to a thread (a connection to a database, say) can be used again; a thread that hangs is left alone."""
    hang, seen = threading.Event(), []

    def function(batch):
        seen.append(threading.get_ident())
        if len(seen) == 3:
            hang.wait(30)
        return len(seen)

    call = LimitedCall(function, 0.2)
    assert [call(BATCH), call(BATCH)] == [1, 2]
    with pytest.raises(TimeoutError, match="no answer within 0.2 s"):
        call(BATCH)
    assert call(BATCH) == 4
    hang.set()
    assert call(BATCH) == 5
    assert seen[0] == seen[1] == seen[2] != seen[3] == seen[4]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_what_the_function_raises_is_raised(error):
    """Also what would end a thread without a word."""

    def function(batch):
        raise error

    with pytest.raises(type(error)):
        LimitedCall(function, 5)(BATCH)


def with_fields(**fields):
    error = Exception("failed")
    error.__dict__.update(fields)
    return error


def wrapped(cause):
    try:
        try:
            raise cause
        except Exception:
            raise RuntimeError("the service failed")  # noqa: B904 - its context is what is looked at
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "raised",
    [
        lambda status: urllib.error.HTTPError("https://host", status, "text", None, None),
        lambda status: with_fields(response=SimpleNamespace(status_code=status)),
        lambda status: with_fields(status_code=status),
        lambda status: with_fields(status=status),
        lambda status: with_fields(response={"ResponseMetadata": {"HTTPStatusCode": status}}),
        lambda status: wrapped(urllib.error.HTTPError("https://host", status, "text", None, None)),
    ],
)
@pytest.mark.parametrize(
    ("status", "final"), [(401, True), (403, True), (404, True), (501, True), (429, False), (503, False)]
)
def test_the_status_is_found_where_clients_keep_it(raised, status, final):
    """urllib, requests and httpx, aiohttp, botocore; also of an error that another one was made of."""
    assert is_final(raised(status)) is final


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (NameError("name 'modle' is not defined"), True),
        (ModuleNotFoundError("No module named 'httpx'"), True),
        (wrapped(NameError("x")), True),
        (ConnectionResetError("reset"), False),
        (TimeoutError("late"), False),
        (KeyError("probabilities"), False),
        (with_fields(code="insufficient_quota"), False),
        (with_fields(code=7), False),
    ],
)
def test_defects_of_the_function_are_final_and_faults_of_the_line_are_not(error, final):
    """A misspelt name stays misspelt."""
    assert is_final(error) is final


def test_lines_are_short_and_repeat_no_address():
    """A key may stand before the host, in the path or after the question mark."""
    error = ValueError("no answer from https://me:secret@host/secret?key=secret, gave up\nsecret")
    assert line_of(error) == "ValueError: no answer from https://... gave up"
    assert len(line_of(ValueError("x" * 1000))) == 200
