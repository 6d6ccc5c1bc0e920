"""The space of a sweep: YAML -> settings of attacks, each checked before anything runs."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from raymeter.attacks import ATTACKS, Attack
from raymeter.config.messages import explain, first_mistake, show, suggest
from raymeter.config.shipped import find_config
from raymeter.config.yaml_files import read_sections
from raymeter.errors import ConfigError
from raymeter.sweep.limits import LIMITS, Limits
from raymeter.sweep.sections import MOST_SETTINGS, SweepConfig, SweepSection

RANGES = ("uniform", "loguniform")


@dataclass(frozen=True)
class Setting:
    """One attack with its settings, and how much of the stored signals it may use."""

    attack: Attack
    limits: Limits
    values: Mapping[str, Any]  # as in the space: what results and pictures show


@dataclass(frozen=True)
class Range:
    """A range that random and optuna draw from."""

    kind: Literal["uniform", "loguniform"]
    low: float
    high: float

    def draw(self, rng: np.random.Generator) -> float:
        """A number of the range, uniform or uniform in its logarithm."""
        if self.kind == "uniform":
            return float(rng.uniform(self.low, self.high))
        return float(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))


@dataclass(frozen=True)
class Subspace:
    """The settings of one attack, each with its choices or its range."""

    path: str
    attack: str
    choices: Mapping[str, tuple[Any, ...] | Range]

    def setting(self, values: Mapping[str, Any]) -> Setting:
        """One point of the space, checked.

        Raises:
            ConfigError: The attack refuses the settings; one line names them.
        """
        own = {key: value for key, value in values.items() if key not in LIMITS}
        try:
            attack: Attack = _adapter(self.attack).validate_python(own)
        except ValidationError as error:
            known = {f.name for f in fields(ATTACKS[self.attack])}
            raise ConfigError(explain(error.errors()[0], known, self.path)) from None
        limits = Limits(**{key: values[key] for key in LIMITS if key in values})
        return Setting(attack, limits, {"attack": self.attack, **values})

    def first(self) -> dict[str, Any]:
        """The first choice of everything, or the low end."""
        return {key: _ends(choices)[0] for key, choices in self.choices.items()}

    def check(self) -> None:
        """Try every choice and both ends of every range, one at a time; not their combinations.

        Raises:
            ConfigError: The attack refuses one of them, with the others at their first choice.
        """
        first = self.first()
        for key, choices in self.choices.items():
            for value in _ends(choices):
                self.setting({**first, key: value})


def load_sweep(path: str | Path, overrides: Sequence[str] = ()) -> SweepConfig:
    """Read a sweep's YAML file, apply `section.key=value` overrides, check everything but the signals.

    Raises:
        ConfigError: One line with the key path, the value and the remedy.
    """
    return build_sweep(read_sections(find_config(path, "sweeps"), overrides, SweepConfig.model_fields))


def build_sweep(values: Mapping[str, Any]) -> SweepConfig:
    """Check plain values, as they come from YAML.

    Raises:
        ConfigError: One line with the key path, the value and the remedy.
    """
    try:
        config = SweepConfig.model_validate(dict(values))
    except ValidationError as error:
        detail = first_mistake(error.errors())
        section = SweepConfig.model_fields.get(str(detail["loc"][0])) if len(detail["loc"]) > 1 else None
        known = getattr(section.annotation, "model_fields", {}) if section else SweepConfig.model_fields
        raise ConfigError(explain(detail, set(known))) from None
    spaces = subspaces(config.sweep)
    if config.sweep.searcher != "grid" and config.sweep.samples is None:
        raise ConfigError(f"sweep.samples: {config.sweep.searcher} needs a number of settings to try; add it")
    if config.sweep.searcher != "grid":
        for space in spaces:  # what is drawn or proposed later is checked now
            space.check()
    if config.sweep.searcher != "optuna":
        settings_of(config)
    return config


def subspaces(section: SweepSection) -> list[Subspace]:
    """The space, one part per entry.

    Raises:
        ConfigError: An unknown attack, setting or kind of choice.
    """
    return [_subspace(entry, f"sweep.space[{index}]", section) for index, entry in enumerate(section.space)]


def settings_of(config: SweepConfig) -> list[Setting]:
    """Every setting of a grid, or the random ones, in order; equal settings once.

    Raises:
        ConfigError: A setting is impossible, or there are too many.
    """
    spaces = subspaces(config.sweep)
    if config.sweep.searcher == "grid":
        count = sum(math.prod(len(_ends(choices)) for choices in space.choices.values()) for space in spaces)
        if count > MOST_SETTINGS:
            raise ConfigError(f"sweep.space: {count} settings; use searcher: random, or fewer choices")
        settings = [space.setting(values) for space in spaces for values in _grid(space)]
    else:
        rng = np.random.default_rng(config.run.random_seed)
        settings = [
            _drawn_setting(spaces[int(rng.integers(len(spaces)))], rng) for _ in range(config.sweep.samples or 0)
        ]
    different: dict[str, Setting] = {}
    for setting in settings:
        different.setdefault(repr((setting.attack, setting.limits)), setting)
    return list(different.values())


def filled(row: Mapping[str, Any], keys: Sequence[str], available: Mapping[str, int]) -> dict[str, Any]:
    """A row with its attack's defaults, and with all that is `available` of a limit, where the space did not say."""
    attack = ATTACKS[row["attack"]]()
    own = {key: getattr(attack, key) for key in keys if key not in row and hasattr(attack, key)}
    limits = {key: available[key] for key in keys if key not in row and key in LIMITS}
    return {"attack": row["attack"], **own, **limits, **{key: value for key, value in row.items() if key != "attack"}}


def _grid(space: Subspace) -> Iterator[dict[str, Any]]:
    lists = [choices for choices in space.choices.values() if isinstance(choices, tuple)]
    return (dict(zip(space.choices, point, strict=True)) for point in itertools.product(*lists))


def _drawn_setting(space: Subspace, rng: np.random.Generator) -> Setting:
    values = {
        key: choices.draw(rng) if isinstance(choices, Range) else choices[int(rng.integers(len(choices)))]
        for key, choices in space.choices.items()
    }
    return space.setting(values)


def _ends(choices: tuple[Any, ...] | Range) -> tuple[Any, ...]:
    return (choices.low, choices.high) if isinstance(choices, Range) else choices


@functools.cache
def _adapter(attack: str) -> TypeAdapter[Any]:
    return TypeAdapter(ATTACKS[attack])


def _subspace(entry: Any, path: str, section: SweepSection) -> Subspace:
    if not isinstance(entry, dict) or not isinstance(entry.get("attack"), str):
        raise ConfigError(f"{path}: expected a mapping with attack and its settings, got {show(entry)}")
    name = entry["attack"]
    allowed = {attack for attack, settings in ATTACKS.items() if settings.sweepable}
    if name in ATTACKS and name not in allowed:
        raise ConfigError(f"{path}.attack: {name} needs more than stored signals and cannot be swept; remove it")
    if name not in allowed:
        raise ConfigError(f"{path}.attack: cannot sweep {name!r}; {suggest(name, allowed)}")
    known = {field.name for field in fields(ATTACKS[name])} | set(LIMITS)
    choices: dict[str, tuple[Any, ...] | Range] = {}
    for key, value in entry.items():
        if key == "attack":
            continue
        if key not in known:
            raise ConfigError(f"{path}.{key}: unknown; {suggest(str(key), known)}")
        choices[key] = _choices(value, f"{path}.{key}")
        if isinstance(choices[key], Range) and section.searcher == "grid":
            raise ConfigError(f"{path}.{key}: a range has no grid; give a list, or use searcher: random")
    return Subspace(path, name, choices)


def _choices(value: Any, path: str) -> tuple[Any, ...] | Range:
    if isinstance(value, list):
        if not value:
            raise ConfigError(f"{path}: the list is empty; give at least one value")
        for item in value:
            if type(item) not in (int, float, str) or (isinstance(item, float) and not math.isfinite(item)):
                raise ConfigError(f"{path}: expected numbers or names, got {show(item)}")
        return tuple(value)
    if isinstance(value, dict):
        kind, bounds = next(iter(value.items())) if value else ("", [])
        if len(value) != 1 or kind not in RANGES:
            raise ConfigError(f"{path}: expected a value, a list, or one of {', '.join(RANGES)}, got {show(value)}")
        if not _rises(bounds) or (kind == "loguniform" and bounds[0] <= 0):
            above = " and above 0" if kind == "loguniform" else ""
            raise ConfigError(f"{path}.{kind}: expected [low, high], finite and rising{above}, got {show(bounds)}")
        return Range("loguniform" if kind == "loguniform" else "uniform", float(bounds[0]), float(bounds[1]))
    return _choices([value], path)


def _rises(bounds: Any) -> bool:
    return (
        isinstance(bounds, list)
        and len(bounds) == 2
        and all(type(bound) in (int, float) and math.isfinite(bound) for bound in bounds)
        and bool(bounds[0] < bounds[1])
    )
