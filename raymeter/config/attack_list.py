"""`audit.attacks`: entries of a configuration -> settings of attacks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from raymeter.attacks import ATTACKS, Attack
from raymeter.config.messages import explain, show, suggest
from raymeter.errors import ConfigError

PRIVACY_METER_ATTACKS: dict[str, tuple[str, ...]] = {"RMIA": ("rmia", "loss"), "LOSS": ("loss",)}
DEFAULT_ATTACKS = ("loss", "rmia", "lira")


def attack_settings(attack: Attack) -> dict[str, Any]:
    """The name of an attack in the attacks table and its settings, as YAML would give them."""
    name = next(name for name, kind in ATTACKS.items() if type(attack) is kind)
    settings = {field.name: getattr(attack, field.name) for field in fields(attack)}
    return {"name": name} | {
        key: [attack_settings(part) for part in value] if name == "stack" and key == "of" else value
        for key, value in settings.items()
    }


def on_signals_alone(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The entries of a finished audit's attacks that its stored signals suffice for."""
    return [entry for entry in entries if not (entry.get("name") in ATTACKS and ATTACKS[entry["name"]].needs_records)]


def parse_attacks(entries: Sequence[Any] | None, algorithm: str | None = None) -> dict[str, Attack]:
    """`audit.attacks` as plain values -> attacks by label, in the order given.

    Args:
        entries: Names, or mappings with a name, a label and settings; None is what `algorithm` names, or the defaults.
        algorithm: Privacy Meter's name for one attack.

    Raises:
        ConfigError: One line with the path of the entry, the value and the remedy.
    """
    if entries is None:
        entries = PRIVACY_METER_ATTACKS[algorithm] if algorithm else DEFAULT_ATTACKS
    attacks: dict[str, Attack] = {}
    for index, entry in enumerate(entries):
        label, attack = _parse_entry(entry, f"audit.attacks[{index}]")
        if label in attacks:
            raise ConfigError(f"audit.attacks[{index}]: a second attack called {label!r}; give it a label of its own")
        attacks[label] = attack
    if not attacks:
        raise ConfigError(f"audit.attacks: the list is empty; name at least one of {', '.join(ATTACKS)}")
    return attacks


def _parse_entry(entry: Any, path: str) -> tuple[str, Attack]:
    settings = {"name": entry} if isinstance(entry, str) else entry
    if not isinstance(settings, dict) or not isinstance(settings.get("name"), str):
        raise ConfigError(f"{path}: expected a name such as rmia or a mapping with a name, got {show(entry)}")
    settings = dict(settings)
    name = settings.pop("name")
    label = settings.pop("label", name)
    if name not in ATTACKS:
        raise ConfigError(f"{path}.name: unknown attack {name!r}; {suggest(name, ATTACKS)}")
    if not isinstance(label, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", label):
        raise ConfigError(f"{path}.label: got {show(label)}; use letters, digits, _ and -")
    if name == "stack" and "of" in settings:
        if not isinstance(settings["of"], list):
            raise ConfigError(f"{path}.of: expected a list of attacks, got {show(settings['of'])}")
        if any(part == "stack" or (isinstance(part, dict) and part.get("name") == "stack") for part in settings["of"]):
            raise ConfigError(f"{path}.of: a stack cannot be part of a stack; list its attacks")
        parts = [_parse_entry(part, f"{path}.of[{index}]")[1] for index, part in enumerate(settings["of"])]
        settings["of"] = tuple(parts)
    for key, value in settings.items():
        if isinstance(value, bool):
            raise ConfigError(f"{path}.{key}: no setting is true or false, got {value}; see configs/README.md")
    try:
        attack: Attack = TypeAdapter(ATTACKS[name]).validate_python(settings)
    except ValidationError as error:
        known = {"label", *(f.name for f in fields(ATTACKS[name]))}
        raise ConfigError(explain(error.errors()[0], known, path)) from None
    return label, attack
