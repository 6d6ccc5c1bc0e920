"""Ray tasks and actors: how they are let go, and what their errors really are."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import ray.exceptions

from raymeter.errors import first_line


def abandon(pending: Iterable[Any]) -> None:
    """Cancel tasks whose results nobody will read; Ray would print the traceback of each that fails."""
    left = list(pending)
    for one in left:
        ray.cancel(one, force=True)
    for one in left:
        with suppress(ray.exceptions.RayError):
            ray.get(one)


def root_cause(error: BaseException) -> str:
    """First line of the innermost exception: what a worker raised, without the layers that carried it here."""
    while (inner := getattr(error, "cause", None) or error.__cause__) is not None and inner is not error:
        if isinstance(inner, ray.data.exceptions.SystemException):
            break  # which Ray Data puts behind errors that are not the user's; it says nothing
        error = inner
    return f"{type(error).__name__}: {first_line(error, '')}"
