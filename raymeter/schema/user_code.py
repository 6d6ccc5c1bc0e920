"""The user's own code behind a function: which files and packages decide what it does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

ROUNDING = ("numpy", "torch")  # packages whose versions change last digits: models of raymeter's own outlive them, too


@dataclass(frozen=True)
class UserCode:
    """What a function of the user's is made of.

    Args:
        files: SHA-256 of every file of the user's own folders, by its module's place, such as `nets/layers.py`.
        packages: Version of every installed package that these files import, by its name.
        main: The file of the function itself, among `files`; empty where it lies in an installed package.
    """

    files: Mapping[str, str]
    packages: Mapping[str, str]
    main: str = ""

    @property
    def digest(self) -> str:
        """Equal exactly when files and versions are."""
        content = json.dumps([dict(self.files), dict(self.packages)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def changes_since(self, before: UserCode) -> tuple[str, ...]:
        """What differs from an earlier state, one phrase each: changed files first, then packages."""
        lines = [
            f"{name} has changed" if name in self.files and name in before.files else f"{name} is {fate}"
            for names, fate in ((before.files, "gone"), (self.files, "new"))
            for name, content in names.items()
            if (before.files if fate == "new" else self.files).get(name) != content
        ]
        old, new = before.packages, self.packages
        lines += [
            f"{name} was {old.get(name, 'not imported')}, now {new.get(name, 'not imported')}"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        return tuple(dict.fromkeys(lines))
