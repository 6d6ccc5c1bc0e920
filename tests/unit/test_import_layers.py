"""What the import contract of pyproject.toml does not see, and that it can fail; `scripts/check` runs the contract itself."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from raymeter.cli.main import build_parser

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "raymeter"
VERBS = re.findall(r"^    ([\w-]+)", build_parser().format_help(), re.M)
PURE = ["attacks", "stats", "formats", "schema", "config.load", "sweep.evaluate"]
HANDS_ON = {"attacks", "data", "errors", "formats", "models", "schema", "stats"}  # names for users of the library


def imports(source: str) -> set[str]:
    """Dotted names that a source imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(
    ("file", "planted", "broken"),
    [
        ("stats/auc.py", "import ray", "Numbers without torch, Ray or a screen"),
        ("attacks/loss.py", "from raymeter.report import verdict", "Data flows one way"),
        ("training/split.py", "def f():\n    from raymeter.signals import compute", "Data flows one way"),
        ("pipeline/dry_run.py", "import ray", "Ray only in raymeter/distributed"),
        ("stats/roc.py", "from raymeter.stats import tpr", "No circle, in no package"),
    ],
)
def test_the_contract_can_fail(tmp_path, file, planted, broken):
    """A bad import that is planted in a copy of the package breaks the contract that forbids it."""
    shutil.copytree(PACKAGE, tmp_path / "raymeter", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "raymeter" / file
    path.write_text(f"{path.read_text()}\n{planted}\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{broken} BROKEN" in done.stdout


def test_the_root_holds_packages_and_two_files():
    """A newcomer sees the pipeline in the names of the packages."""
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "audit.py"}
    assert len([path for path in PACKAGE.iterdir() if path.name != "__pycache__"]) <= 20


def test_packages_hold_a_docstring_alone():
    """An `__init__.py` is paid by whoever imports anything of its package, a worker that starts above all."""
    for path in PACKAGE.rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert ast.get_docstring(ast.parse(path.read_text())), path
        if path.parent != PACKAGE and path.parent.relative_to(PACKAGE).as_posix() not in HANDS_ON:
            assert len(body) == 1, path


def test_nobody_imports_a_door():
    """`raymeter/audit.py` would take the place of the function `raymeter.audit`."""
    for path in PACKAGE.rglob("*.py"):
        assert not {"raymeter.audit.main", "raymeter.sweep.__main__"} & imports(path.read_text()), path
        assert "import raymeter.audit" not in path.read_text(), path


def loaded_after_each(steps: list[str], heavy: tuple[str, ...]) -> list[list[str]]:
    """Which of the heavy packages a fresh Python has loaded after each of these statements, one after another."""
    code = f"""
import contextlib, io, sys
for step in {steps!r}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        exec(step)
    print(*[name for name in {heavy!r} if name in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [line.split() for line in out.stdout.splitlines()]


@pytest.fixture(scope="module")
def after_import():
    """What is loaded once each pure part has been imported, those before it included."""
    return dict(
        zip(PURE, loaded_after_each([f"import raymeter.{part}" for part in PURE], ("ray", "torch")), strict=True)
    )


@pytest.fixture(scope="module")
def after_help():
    """What is loaded once the help of each verb has been printed, of those before it included."""
    steps = [f"from raymeter.cli.main import main; main([{verb!r}, '--help'])" for verb in VERBS]
    return dict(zip(VERBS, loaded_after_each(steps, ("ray", "torch", "scipy")), strict=True))


@pytest.mark.parametrize("module", PURE)
def test_numpy_parts_load_neither_ray_nor_torch(after_import, module):
    """Importing the pure parts leaves Ray and torch alone."""
    assert after_import[module] == []


@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_neither_ray_nor_torch(after_help, verb):
    """`raymeter audit --help` took five seconds and more: the whole pipeline was imported before it was parsed."""
    assert after_help[verb] == []


def test_a_part_that_loads_more_is_told_from_those_before_it():
    """The check itself: a help is left by SystemExit and printed nowhere, and the first that loads JSON is named."""
    steps = ["print(1); raise SystemExit(0)", "import json.tool", "x = 1"]
    assert loaded_after_each(steps, ("json",)) == [[], ["json"], ["json"]]


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
