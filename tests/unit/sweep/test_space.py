"""The space of a sweep: grids, draws and every mistake on one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from raymeter.attacks import Lira, Rmia
from raymeter.errors import ConfigError
from raymeter.sweep.limits import Limits
from raymeter.sweep.space import build_sweep, filled, load_sweep, settings_of

LIRA_DEFAULT = {"attack": "lira", "variance": Lira().variance, "mode": Lira().mode}
CONFIGS = Path(__file__).parents[3] / "configs/sweeps"


def sweep(space: list, **section: object):
    return build_sweep({"run": {"log_dir": "x"}, "sweep": {"space": space, **section}})


def test_a_grid_is_the_product_of_its_lists():
    """Scalars are fixed, lists are tried in order, limits are not settings of the attack."""
    config = sweep([{"attack": "rmia", "offline_a": [0.1, 0.5], "form": "count", "references": [1, 2]}])
    found = settings_of(config)
    assert [setting.attack for setting in found] == [Rmia(offline_a=a, form="count") for a in (0.1, 0.1, 0.5, 0.5)]
    assert [setting.limits for setting in found] == [Limits(references=k) for k in (1, 2, 1, 2)]
    assert found[0].values == {"attack": "rmia", "offline_a": 0.1, "form": "count", "references": 1}


def test_parts_of_a_space_have_settings_of_their_own():
    """What one attack has, another need not know; equal settings are tried once."""
    found = settings_of(sweep([{"attack": "lira", "variance": ["nig", "nig", "pooled"]}, {"attack": "loss"}]))
    assert [setting.values for setting in found] == [
        {"attack": "lira", "variance": "nig"},
        {"attack": "lira", "variance": "pooled"},
        {"attack": "loss"},
    ]
    assert found[1].attack == Lira(variance="pooled")


def test_settings_that_differ_in_writing_only_are_one():
    """1 and 1.0, and a default that is written out."""
    found = settings_of(sweep([{"attack": "rmia", "gamma": [2, 2.0]}, {"attack": "lira"}, LIRA_DEFAULT]))
    assert [setting.values for setting in found] == [{"attack": "rmia", "gamma": 2}, {"attack": "lira"}]


def test_too_many_settings_are_refused_before_any_is_made():
    """The number is in the message."""
    space = [{"attack": "rmia", "offline_a": [i / 2000 for i in range(2000)], "gamma": [1 + i for i in range(501)]}]
    with pytest.raises(ConfigError, match="sweep.space: 1002000 settings; use searcher: random, or fewer choices"):
        sweep(space)


def test_random_settings_stay_within_their_ranges_and_depend_on_the_seed():
    """The same seed draws the same settings; uniform and loguniform keep their bounds."""
    space = [{"attack": "rmia", "offline_a": {"uniform": [0.2, 0.4]}, "gamma": {"loguniform": [1.0, 100.0]}}]
    first, again = (settings_of(sweep(space, searcher="random", samples=200)) for _ in range(2))
    assert [setting.values for setting in first] == [setting.values for setting in again]
    gammas = sorted(setting.values["gamma"] for setting in first)
    assert 1.0 <= gammas[0] and gammas[-1] <= 100.0
    assert 7 < gammas[100] < 14  # the middle on a logarithmic scale is 10
    assert all(0.2 <= setting.values["offline_a"] <= 0.4 for setting in first)


@pytest.mark.parametrize(
    ("space", "section", "message"),
    [
        ([{"attack": "rmi"}], {}, "sweep.space[0].attack: cannot sweep 'rmi'; did you mean rmia?"),
        ([{"attack": "qmia"}], {}, "sweep.space[0].attack: qmia needs more than stored signals"),
        ([{"attack": "stack"}], {}, "sweep.space[0].attack: stack needs more than stored signals"),
        ([{"attack": "rmia", "gama": [1.0]}], {}, "sweep.space[0].gama: unknown; did you mean gamma?"),
        ([{"attack": "rmia", "offline_a": [0.1, 2.0]}], {}, "sweep.space[0]: offline_a must be in [0, 1]"),
        ([{"attack": "rmia", "offline_a": []}], {}, "sweep.space[0].offline_a: the list is empty"),
        ([{"attack": "rmia", "offline_a": {"normal": [0, 1]}}], {}, "sweep.space[0].offline_a: expected a value"),
        (
            [{"attack": "rmia", "gamma": {"loguniform": [0, 1]}}],
            {"searcher": "random", "samples": 3},
            "sweep.space[0].gamma.loguniform: expected [low, high], finite and rising and above 0, got [0, 1]",
        ),
        (
            [{"attack": "rmia", "offline_a": {"uniform": [0.1, 0.9]}}],
            {},
            "sweep.space[0].offline_a: a range has no grid; give a list, or use searcher: random",
        ),
        (
            [{"attack": "rmia", "gamma": {"uniform": [1.0, float("inf")]}}],
            {"searcher": "random", "samples": 3},
            "sweep.space[0].gamma.uniform: expected [low, high], finite and rising, got",
        ),
        ([{"attack": "rmia", "gamma": [float("nan")]}], {}, "sweep.space[0].gamma: expected numbers or names, got"),
        (
            [{"attack": "rmia", "offline_a": {"uniform": [0.5, 1.5]}}],
            {"searcher": "optuna", "samples": 3},
            "sweep.space[0]: offline_a must be in [0, 1]",
        ),
        ([{"attack": "loss"}], {"metric": "tpr@1"}, "sweep.metric: metric must be auc, log_auc or tpr@<fpr>"),
        ([{"attack": "loss"}], {"searcher": "random"}, "sweep.samples: random needs a number of settings"),
        ([{"attack": "loss"}], {"metric": "accuracy"}, "sweep.metric: metric must be auc, log_auc or tpr@<fpr>"),
        ([{"attack": "loss"}], {"nam": "x"}, "sweep.nam: unknown; did you mean name?"),
        ([{"attack": "loss"}], {"name": "../up"}, "sweep.name: use up to 100 letters, digits, _ and -, got '../up'"),
        ([{"attack": "loss"}], {"name": "a" * 101}, "sweep.name: use up to 100 letters"),
        (["loss"], {}, "sweep.space[0]: expected a mapping with attack and its settings, got 'loss'"),
        ([], {}, "sweep.space: the list is empty; give at least one attack"),
    ],
)
def test_mistakes_in_a_sweep_are_one_line(space, section, message):
    """The path, the value and the remedy."""
    with pytest.raises(ConfigError) as error:
        sweep(space, **section)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_misspelt_key_is_told_before_the_one_that_it_should_have_been():
    """`spaces` was reported as a space that is missing, and the file had one."""
    with pytest.raises(ConfigError, match=r"^sweep.spaces: unknown; did you mean space\?$"):
        build_sweep({"run": {"log_dir": "demo"}, "sweep": {"spaces": [{"attack": "loss"}]}})


def test_what_a_setting_leaves_out_is_filled_with_what_it_had():
    """Limits were filled with the text `all`, which made texts of the numbers next to it."""
    row = filled({"attack": "rmia", "gamma": 2.0}, ["gamma", "form", "variance", "population"], {"population": 599})
    assert row == {"attack": "rmia", "form": "log_ratio", "population": 599, "gamma": 2.0}


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_sweeps_are_valid(path):
    """Every file loads, and its first line is how it is run."""
    config = load_sweep(path, ["run.log_dir=elsewhere"])
    assert config.run.log_dir == "elsewhere" and settings_of(config)
    assert path.read_text().startswith(f"# python -m raymeter.sweep configs/sweeps/{path.name} ")


def test_a_sweep_file_that_is_not_there_is_named():
    """The path is in the message."""
    with pytest.raises(ConfigError, match="nowhere.yaml: cannot be read"):
        load_sweep("nowhere.yaml")


def test_the_documented_sweep_is_valid():
    """The YAML block of docs/sweeps.md, as it stands there."""
    text = (CONFIGS.parents[1] / "docs/sweeps.md").read_text()
    block = text.split("```yaml\n")[1].split("```")[0]
    assert len(settings_of(build_sweep(yaml.safe_load(block)))) > 100
