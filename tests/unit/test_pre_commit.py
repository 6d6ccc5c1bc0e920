"""What runs before a commit is what scripts/check runs."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_hooks_are_the_commands_of_the_check():
    """The same tools in the same order, without the options that pick files."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [
        hook["entry"].replace(" --force-exclude", "") for repository in config["repos"] for hook in repository["hooks"]
    ]
    script = (ROOT / "scripts/check").read_text().partition("else\n")[2]
    commands = re.findall(r"^ *((?:ruff|mypy|lint-imports)[^\n]*?)(?: \.)?$", script, re.MULTILINE)
    assert hooks == commands
    assert len(hooks) == 4
