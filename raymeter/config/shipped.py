"""Configurations that come with raymeter, by their names: `raymeter audit demo` where there is no file `demo`."""

from __future__ import annotations

from pathlib import Path

from raymeter.config.messages import suggest
from raymeter.errors import ConfigError

PACKAGE = Path(__file__).parents[1]
PLACES = (PACKAGE / "configs", PACKAGE.parent / "configs")  # of an installed package, and of a checkout


def shipped(folder: str = "") -> dict[str, Path]:
    """The configurations in a folder of configs/, by their names without `.yaml`."""
    place = next((place for place in PLACES if (place / "demo.yaml").is_file()), None)
    return {} if place is None else {path.stem: path for path in sorted((place / folder).glob("*.yaml"))}


def find_config(path: str | Path, folder: str = "") -> Path:
    """A path as it is, or that of the shipped configuration of this name where no file has it.

    Args:
        path: As the user gave it.
        folder: Of configs/ where the shipped ones lie: "" for audits, "sweeps" for sweeps.

    Raises:
        ConfigError: It is a plain name, and neither a file nor a shipped configuration has it.
    """
    path = Path(path)
    if path.is_file() or len(path.parts) != 1 or path.suffix:
        return path
    known = shipped(folder)
    if path.name in known:
        return known[path.name]
    if known and not path.exists():
        raise ConfigError(f"{path}: neither a file nor a configuration of raymeter's own; {suggest(path.name, known)}")
    return path
