"""The README promises commands; CI and the project keep them."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

import raymeter
from raymeter.config.load import build_config
from raymeter.data import DATASETS
from raymeter.models import MODELS

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
        assert (ROOT / target.partition("#")[0]).exists(), target


def test_changelog_has_this_version():
    """The newest section of the changelog is the version of the package."""
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == raymeter.__version__


def test_readme_example_of_the_library_runs(capsys):
    """The code without Ray is run as it stands."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (example,) = (block for block in blocks if "SignalMatrix" in block)
    exec(compile(example, "README.md", "exec"), {})
    assert "Interval(estimate=0." in capsys.readouterr().out


def test_configs_readme_example_of_own_data_is_valid():
    """The whole file for one's own records loads."""
    text = (ROOT / "configs/README.md").read_text()
    (example,) = (block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "mine.npz" in block)
    assert build_config(yaml.safe_load(example)).num_models == 16


def test_configs_readme_lists_every_dataset_and_model():
    """Each name of both tables is there."""
    text = (ROOT / "configs/README.md").read_text()
    for name in (*DATASETS, *MODELS):
        assert f"`{name}`" in text, name
