"""What docs/architecture.md and CONTRIBUTING.md name is there, and every package is told of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "docs/architecture.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def test_every_package_has_its_line():
    """The table of packages is the folder of packages."""
    table = ARCHITECTURE.partition("## The packages")[2].partition("\n## ")[0]
    packages = {path.name for path in (ROOT / "raymeter").iterdir() if (path / "__init__.py").exists()}
    assert set(re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE)) == packages


@pytest.mark.parametrize("text", [ARCHITECTURE, CONTRIBUTING], ids=["architecture", "contributing"])
def test_paths_exist(text):
    """A path with a folder lies in the package or at the root; placeholders are left out."""
    paths = {path for path in re.findall(r"`([a-z_./<>]+/[a-z_./<>]*)`", text) if "<" not in path}
    assert len(paths) > 4
    for path in paths:
        assert (ROOT / path).exists() or any((ROOT / "raymeter").rglob(path)), path


def test_links_lead_somewhere():
    """Every relative link of both guides."""
    for folder, text in ((ROOT / "docs", ARCHITECTURE), (ROOT, CONTRIBUTING)):
        for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
            assert (folder / target.partition("#")[0]).exists(), target


def test_guides_of_contributing_are_short():
    """Each thing that one may add is explained in fewer than 20 lines."""
    sections = re.findall(r"^## (Add .*?)\n(.*?)(?=^## )", CONTRIBUTING, re.MULTILINE | re.DOTALL)
    assert [title for title, _ in sections] == [
        "Add an attack",
        "Add a dataset",
        "Add a model",
        "Add another tool's format",
        "Add a file of the report",
    ]
    for title, text in sections:
        assert len(text.strip().splitlines()) < 20, title
