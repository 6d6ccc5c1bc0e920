"""Data flows one way: lower floors never import upper ones, and Ray stays in its files."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from raymeter.cli import VERBS

PACKAGE = Path(__file__).parents[2] / "raymeter"
FLOORS = [
    {"errors", "schema", "results", "leases", "explain", "pages", "places", "shown"},
    {"split", "attacks", "stats"},
    {"power", "exposure", "blind", "formats"},
    {"evaluate", "assess", "differences", "recognise", "walk", "comparing"},
    {"data", "models", "fit", "signals", "streamfit", "quantile", "ownfit"},
    {"config", "sections", "store", "report", "console", "gate"},
    {
        "provenance",
        "preflight",
        "members",
        "target",
        "blackbox",
        "scratch",
        "signalstore",
        "sweepspace",
        "upload",
        "arguments",
    },
    {"stream"},
    {"workers", "metrics"},
    {"slot"},
    {"runtime", "slots", "train", "collect", "scoring", "analysis", "regress", "trials"},
    {"audit", "sweep", "score", "exchange", "explain_difference"},
    {"compare", "doctor", "rerender"},
    {"cli"},
]
RAY_FILES = {
    "slot",
    "slots",
    "stream",
    "workers",
    "metrics",
    "upload",
    "audit",
    "doctor",
    "trials",
    "runtime",
    "train",
    "collect",
    "scoring",
    "regress",
}
ALLOWED: set[tuple[str, str]] = set()


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(source: str) -> set[str]:
    """Dotted names that a source imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def floor(part: str) -> int:
    return next(level for level, parts in enumerate(FLOORS) if part in parts)


def violations(part: str, source: str) -> list[str]:
    """What a file of `part` imports although it may not."""
    found = []
    parts = set().union(*FLOORS)
    for name in imports(source):
        root, *rest = name.split(".")
        if root == "ray" and part not in RAY_FILES:
            found.append(f"{part} imports {name}")
        if root == "raymeter" and rest and rest[0] in parts and (part, rest[0]) not in ALLOWED:
            if floor(rest[0]) > floor(part):
                found.append(f"{part} imports raymeter.{rest[0]} from a floor above")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    """Every file imports from its own floor or from below, and Ray only where it belongs."""
    part = part_of(path)
    if part == "__init__":
        return
    assert violations(part, path.read_text()) == []


def test_violations_are_found():
    """The check itself can fail: planted imports are reported."""
    assert violations("stats", "import ray") == ["stats imports ray"]
    assert violations("attacks", "from raymeter import train") == ["attacks imports raymeter.train from a floor above"]
    assert violations("data", "def f():\n    from raymeter.collect import x")


@pytest.mark.parametrize("module", ["attacks", "stats", "split", "schema"])
def test_numpy_parts_load_neither_ray_nor_torch(module):
    """Importing the pure parts leaves Ray and torch alone."""
    code = f"import sys, raymeter.{module}; print([m for m in ('ray', 'torch') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_neither_ray_nor_torch(verb):
    """`raymeter audit --help` took five seconds and more: the whole pipeline was imported before it was parsed."""
    code = f"import sys; from raymeter.cli import main\ntry: main([{verb!r}, '--help'])\n"
    code += "finally: print([m for m in ('ray', 'torch', 'scipy') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "[]"


def test_workers_are_asked_for_by_placement_groups_and_actors_only():
    """A request to the autoscaler would be overwritten by Ray Data's own, and its nodes would go."""
    for path in PACKAGE.rglob("*.py"):
        assert "request_resources" not in path.read_text(), path


def test_nothing_unpickles():
    """No file calls pickle, torch.load without weights_only, or np.load with pickles."""
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text()
        assert "allow_pickle=True" not in source, path
        assert "weights_only=False" not in source, path
        assert not {"cloudpickle", "joblib", "dill"} & imports(source), path
