"""How tests check the annotations of the package: shapes and dtypes by jaxtyping, all other types by beartype."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import IO, Any, BinaryIO, TextIO

import jaxtyping
from beartype import BeartypeConf, FrozenDict, beartype
from pydantic import TypeAdapter

# beartype knows files by an attribute `mode`, which those in memory lack, and does not know TypeAdapter[...] at all.
STRANGERS = FrozenDict({IO[bytes]: object, BinaryIO: object, TextIO: object, TypeAdapter[Any]: TypeAdapter})

# An int serves as a float, as for mypy.
CONF = BeartypeConf(is_pep484_tower=True, hint_overrides=STRANGERS)


jaxtyped = jaxtyping.jaxtyped


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a check of its arguments and result; what the import hook puts around every function."""
    return beartype(function, conf=CONF)


def jaxtyped_outside(**options: Any) -> Callable[..., Any]:
    """In place of `jaxtyping.jaxtyped`, which the import hook has every module call for its classes and functions.

    A function within a function is made anew at every call, and a check with it, which took most of the time of
    some tests: it stays as it is.
    """

    def decorate(decorated: Any) -> Any:
        inner = not isinstance(decorated, type) and "<locals>" in decorated.__qualname__
        return decorated if inner else jaxtyped(decorated, **options)

    return decorate


def install() -> None:
    """Have every module of raymeter imported from now on with checks at each call.

    Raises:
        RuntimeError: A part of raymeter has been imported already: its functions would silently go unchecked.
    """
    early = sorted(name for name in sys.modules if name.split(".")[0] == "raymeter")
    if early:
        raise RuntimeError(f"imported before the checks of annotations were installed: {', '.join(early)}")
    jaxtyping.jaxtyped = jaxtyped_outside
    jaxtyping.install_import_hook("raymeter", "annotation_checks.checked")
