"""Mistakes in a configuration -> one line each: the key, what is wrong, the value, the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

REMEDIES = {
    "missing": "this key is required; add it",
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "string_type": "expected a text (a number or an empty value goes in quotes)",
    "bool_type": "expected true or false",
    "model_type": "expected keys and values",
    "dict_type": "expected keys and values",
    "tuple_type": "expected a list",
}


def first_mistake(errors: Sequence[Any]) -> Any:
    """The validation error to report: what is written before what is missing, which may be the same, misspelt."""
    return min(errors, key=lambda error: bool(error["type"] == "missing"))


def explain(error: Mapping[str, Any], known: set[str], prefix: str = "") -> str:
    """One line for a validation error: the key path, what is wrong, the value; `known` are the keys of its section."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    full = ".".join(part for part in (prefix, path) if part) or "configuration"
    kind, value = error["type"], error["input"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{full}: unknown; {suggest(str(error['loc'][-1]), known)}"
    if kind == "missing":
        return f"{full}: {REMEDIES[kind]}"
    message = REMEDIES.get(kind) or error["msg"].removeprefix("Value error, ")
    message = message.removeprefix("Input should be ")
    if kind in ("literal_error", "greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        message = f"must be {message}"
    return f"{full}: {message}" if ", got " in message else f"{full}: {message}, got {show(value)}"


def suggest(word: str, known: Mapping[str, Any] | set[str]) -> str:
    """The closest known name, or all of them."""
    return _closest(word, known) or f"known are {', '.join(sorted(known))}"


def suggest_and_list(word: str, known: Mapping[str, Any]) -> str:
    """The closest known name, where there is one, and all of them in their order."""
    return " ".join(filter(None, [_closest(word, known), f"known are {', '.join(known)}"]))


def _closest(word: str, known: Mapping[str, Any] | set[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


def show(value: Any) -> str:
    """A value as it may stand in a message: its repr, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
