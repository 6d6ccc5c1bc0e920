"""YAML texts to plain values, with overrides; duplicate keys are errors."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from raymeter.config.messages import show, suggest
from raymeter.errors import ConfigError, not_uploaded
from raymeter.schema.plain_files import require_file

LARGEST = 2**20  # bytes of a file
MOST_NODES = 100_000  # keys and values, each as often as an alias repeats it
LARGEST_NUMBER, MOST_DIGITS = 2**63, 100  # in base 60, say, or with zeros before them


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 1e-3 as a number (as YAML 1.2 does) and refuses a key given twice.

    It also refuses what would take long or what no computer's number is: aliases that repeat themselves or multiply,
    and whole numbers beyond 64 bits.
    """

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _count_nodes(node, {})
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value = LARGEST_NUMBER if len(node.value) > MOST_DIGITS else int(super().construct_yaml_int(node))
        if not -LARGEST_NUMBER <= value < LARGEST_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, f"the number {node.value:.20} is beyond 64 bits", node.start_mark
            )
        return value

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


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+0123456789.")
)


def _count_nodes(node: yaml.Node, counts: dict[int, int]) -> int:
    """How many nodes there are below and with a node when every alias is written out.

    Args:
        node: The root.
        counts: Of the nodes that were counted, by their identities; 0 of those that are being counted.
    """
    if id(node) in counts:
        if not counts[id(node)]:
            raise yaml.constructor.ConstructorError(None, None, "an alias is within what it repeats", node.start_mark)
        return counts[id(node)]
    counts[id(node)] = 0
    if isinstance(node, yaml.MappingNode):
        total = 1 + sum(_count_nodes(part, counts) for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        total = 1 + sum(_count_nodes(part, counts) for part in node.value)
    else:
        total = 1
    if total > MOST_NODES:
        raise yaml.constructor.ConstructorError(
            None, None, f"aliases written out come to more than {MOST_NODES:,} values", node.start_mark
        )
    counts[id(node)] = total
    return total


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
        deep = isinstance(error, RecursionError)
        problem = "nested too deeply" if deep else str(getattr(error, "problem", None) or error).splitlines()[0]
        raise ConfigError(f"{where}{line}: not valid YAML: {problem}") from None


def read_sections(path: str | Path, overrides: Sequence[str], sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a YAML file as plain values, with `section.key=value` overrides applied.

    Raises:
        ConfigError: The file cannot be read, is no mapping, or an override names an unknown section.
    """
    try:
        text = _read_text(Path(path))
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


def _read_text(path: Path) -> str:
    """The text of a configuration; a shell's `<(command)` and standard input are taken, other pipes are not.

    Raises:
        OSError: It cannot be read, is no file, or is larger than a configuration can be.
        UnicodeDecodeError: It is not UTF-8.
    """
    if not str(path).startswith(("/dev/fd/", "/dev/stdin", "/proc/self/fd/")):
        require_file(path)
    with path.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {LARGEST >> 20} MiB, which no configuration is", str(path))
    return data.decode()


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
