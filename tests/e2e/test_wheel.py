"""What is installed from the wheel works from an empty directory."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("raymeter-*.whl"))


def test_the_wheel_has_what_is_not_code(wheel):
    """Configurations, page templates, the mark that types are there, and what package indexes show."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = next(archive.read(name).decode() for name in names if name.endswith("dist-info/METADATA"))
    for path in (
        *ROOT.glob("configs/**/*.yaml"),
        *ROOT.glob("raymeter/report/page/**/*.html"),
        ROOT / "raymeter/py.typed",
    ):
        relative = path.relative_to(ROOT)
        assert str(relative if relative.parts[0] == "raymeter" else Path("raymeter", relative)) in names
    assert "Classifier: Typing :: Typed" in about and "Description-Content-Type: text/markdown" in about


def test_the_demo_runs_from_an_empty_directory(wheel, tmp_path):
    """In a new environment that has the wheel, and this one's other packages."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60)
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")  # whose own .pth files do not count
    python = environment / "bin/python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        str(wheel),
    ]
    subprocess.run(install, check=True, timeout=120)
    (tmp_path / "empty").mkdir()
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "RAY_ADDRESS")}

    def run(*argv: str) -> str:
        done = subprocess.run(argv, cwd=tmp_path / "empty", env=plain, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert str(environment) in run(str(python), "-c", "import raymeter; print(raymeter.__file__)")
    raymeter = str(environment / "bin/raymeter")
    assert "16 models" in run(raymeter, "audit", "demo", "--dry-run")
    out = run(raymeter, "demo", "--quiet", "train.epochs=1", "audit.num_ref_models=1", "data.pool_size=100")
    assert out.strip().startswith("100 records, 4 target models")
    assert out.strip().endswith(f"Report: {tmp_path}/empty/demo/report/index.html")
