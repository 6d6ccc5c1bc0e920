"""The README promises commands; CI and the project keep them."""

from __future__ import annotations

import re
from pathlib import Path

import raymeter

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


def test_readme_has_both_commands():
    """Set-up with the main job, and set-up with the tests."""
    assert COMMANDS[:2] == [
        "pip install -e . && python -m raymeter.audit configs/demo.yaml",
        'pip install -e ".[test]" && pytest',
    ]


def test_ci_runs_the_readmes_test_command():
    """What CI runs after the installation is the README's test command."""
    script = (ROOT / ".ci/run").read_text().splitlines()
    assert 'pip install -q -e ".[test]"' in script
    assert script[-1] == "pytest"


def test_readme_links_lead_somewhere():
    """Every relative link and picture exists."""
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_changelog_has_this_version():
    """The newest section of the changelog is the version of the package."""
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == raymeter.__version__
