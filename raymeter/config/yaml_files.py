"""YAML texts to plain values, with overrides; duplicate keys are errors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from raymeter.config.messages import show, suggest
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


def read_sections(path: str | Path, overrides: Sequence[str], sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a YAML file as plain values, with `section.key=value` overrides applied.

    Raises:
        ConfigError: The file cannot be read, is no mapping, or an override names an unknown section.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8; save it so"
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
    parent, name = values, section
    for part in key.split("."):
        if not isinstance(parent.get(name) or {}, dict):
            raise ConfigError(f"{name}: expected keys and values, got {show(parent[name])}")
        parent[name] = dict(parent.get(name) or {})
        parent, name = parent[name], part
    parent[name] = parse_yaml(text, f"override {path}")
