"""Input texts and their mistakes: YAML to plain values, validation errors to one line each."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from raymeter.errors import ConfigError, not_uploaded


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-3 as a number (as YAML 1.2 does) and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a text", key_node.start_mark)
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key_node.value!r} is given twice", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def parse_yaml(text: str, where: str) -> Any:
    """YAML text as plain values.

    Raises:
        ConfigError: Names the file and line.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise ConfigError(f"{where}{line}: not valid YAML: {problem}") from None


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
    """The validation error to tell: what is written before what is missing, which may be the same, misspelt."""
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


def load_function(key: str, name: str, gives: str) -> Callable[..., Any]:
    """The user's function that a key names as module:function.

    Args:
        gives: What kind of function it is to be, for the message.

    Raises:
        ConfigError: It cannot be loaded, or is no function.
    """
    module, _, function = name.partition(":")
    if module == "__main__" and key.startswith("train."):
        raise ConfigError(f"{key}: {name} is of this session, and workers do not have it; write it to a file")
    found: Any
    try:
        found = getattr(importlib.import_module(module), function)
    except Exception as error:  # a user's module can fail in any way
        line = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise ConfigError(
            f"{key}: cannot load {name!r} ({line}); write module:function, with the module importable from "
            f"here{not_uploaded()}"
        ) from error
    if not callable(found):
        raise ConfigError(f"{key}: {name} is {type(found).__name__}; give a function {gives}")
    function_found: Callable[..., Any] = found
    return function_found


def suggest(word: str, known: Mapping[str, Any] | set[str]) -> str:
    """The closest known name, or all of them."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(sorted(known))}"


def show(value: Any) -> str:
    """A value as it may stand in a message: its repr, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_sections(path: str | Path, overrides: Sequence[str], sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a YAML file as plain values, with `section.key=value` overrides applied.

    Raises:
        ConfigError: The file cannot be read, is no mapping, or an override names an unknown section.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = not_uploaded()
        raise ConfigError(f"{path}: cannot be read ({reason}); give the path of a YAML file{hint}") from None
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected sections {', '.join(list(sections)[:4])}, got {show(values)}")
    for override in overrides:
        apply_override(values, override, sections)
    return values


def apply_override(values: dict[str, Any], override: str, sections: Mapping[str, Any]) -> None:
    """Put `section.key=value` into plain values; the value is read as YAML.

    Raises:
        ConfigError: It is not of that form, or names an unknown section.
    """
    path, equals, text = override.partition("=")
    section, dot, key = path.strip().partition(".")
    if not equals or not dot or not key:
        raise ConfigError(f"override {override!r}: expected section.key=value, such as train.epochs=10")
    if section not in sections:
        raise ConfigError(f"{path}: unknown section {section!r}; {suggest(section, sections)}")
    holder, where = values, section
    for part in key.split("."):
        if not isinstance(holder.get(where) or {}, dict):
            raise ConfigError(f"{where}: expected keys and values, got {show(holder[where])}")
        holder[where] = dict(holder.get(where) or {})
        holder, where = holder[where], part
    holder[where] = parse_yaml(text, f"override {path}")
