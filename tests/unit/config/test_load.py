"""Configuration: every mistake is one line with the key path, the value and the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from raymeter.attacks import ATTACKS, Lira, Loss, Rmia
from raymeter.config.load import AuditConfig, build_config, load_config
from raymeter.config.sections import TargetSection
from raymeter.errors import ConfigError

CONFIGS = Path(__file__).parents[3] / "configs"
PRIVACY_METER = """
run: # Configurations for a specific run
  random_seed: 12345
  log_dir: demo_cifar10
  time_log: True
  num_experiments: 1

audit:
  privacy_game: privacy_loss_model
  algorithm: RMIA
  num_ref_models: 1
  device: cuda:0
  report_log: report_rmia
  batch_size: 5000
  data_size: 10000

train:
  model_name: wrn28-2
  device: cuda:0
  batch_size: 256
  optimizer: SGD
  learning_rate: 0.1
  weight_decay: 0
  epochs: 100

data:
  dataset: cifar10
  data_dir: data
"""


def config(**sections):
    return build_config({"run": {"log_dir": "x"}, **sections})


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"run": {}}, "run.log_dir: this key is required; add it"),
        ({"audit": {"num_ref_model": 3}}, "audit.num_ref_model: unknown; did you mean num_ref_models?"),
        ({"trian": {}}, "trian: unknown; did you mean train?"),
        ({"run": {"logdir": "x"}}, "run.logdir: unknown; did you mean log_dir?"),
        ({"train": {"zzz": 1}}, "train.zzz: unknown; known are"),
        ({"audit": {"num_ref_models": 0}}, "audit.num_ref_models: must be greater than or equal to 1, got 0"),
        ({"train": {"epochs": "ten"}}, "train.epochs: expected a whole number, got 'ten'"),
        ({"train": {"epochs": True}}, "train.epochs: expected a whole number, got True"),
        ({"train": {"epochs": 1.5}}, "train.epochs: expected a whole number, got 1.5"),
        ({"train": {"learning_rate": -1.0}}, "train.learning_rate: must be greater than 0, got -1.0"),
        ({"train": {"learning_rate": float("nan")}}, "train.learning_rate: "),
        ({"train": {"optimizer": "Lion"}}, "train.optimizer: must be 'SGD', 'Adam' or 'AdamW', got 'Lion'"),
        (
            {"data": {"pool_size": 801}},
            "data.pool_size: must be even, so that both halves of a pair are equal, got 801",
        ),
        (
            {"data": {"pool_size": 100}, "audit": {"data_size": 200}},
            "audit.data_size: cannot audit 200 of 100 records; lower it or raise data.pool_size",
        ),
        ({"audit": {"views": []}}, "audit.views: "),
        ({"audit": {"views": ["identity", "identity"]}}, "audit.views: each view may be listed once"),
        (
            {"audit": {"attacks": []}},
            "audit.attacks: the list is empty; name at least one of loss, entropy, population",
        ),
        ({"audit": {"attacks": ["rmai"]}}, "audit.attacks[0].name: unknown attack 'rmai'; did you mean rmia?"),
        (
            {"audit": {"attacks": [{"name": "rmia", "gama": 2.0}]}},
            "audit.attacks[0].gama: unknown; did you mean gamma?",
        ),
        ({"audit": {"attacks": [{"name": "rmia", "gamma": 0.5}]}}, "audit.attacks[0]: gamma must be >= 1, got 0.5"),
        (
            {"audit": {"attacks": [{"name": "lira", "mode": "x"}]}},
            "audit.attacks[0].mode: must be 'online' or 'offline'",
        ),
        ({"audit": {"attacks": ["rmia", "rmia"]}}, "audit.attacks[1]: a second attack called 'rmia'; give it a label"),
        ({"audit": {"attacks": [{"name": "rmia", "label": "a/b"}]}}, "audit.attacks[0].label: got 'a/b'; use letters"),
        ({"audit": {"attacks": [3]}}, "audit.attacks[0]: expected a name such as rmia or a mapping with a name, got 3"),
        ({"train": {"resources_per_model": {"GPU": 0.0}}}, "train.resources_per_model: GPU must be above 0"),
        ({"train": {"weight_decay": float("inf")}}, "train.weight_decay: "),
        ({"audit": {"num_ref_models": 100_000_000}}, "audit.num_ref_models: must be less than or equal to 10000"),
        ({"audit": {"report_log": "../x"}}, "audit.report_log: must be a directory inside run.log_dir"),
        ({"audit": {"report_log": "models"}}, "audit.report_log: must be a directory inside run.log_dir"),
        ({"audit": {"report_log": "./run.json"}}, "audit.report_log: must be a directory inside run.log_dir"),
        ({"audit": {"report_log": "a\0b"}}, "audit.report_log: names of directories are at most 200 bytes, without"),
        ({"audit": {"report_log": "é" * 101}}, "audit.report_log: names of directories are at most 200 bytes"),
        (
            {"audit": {"attacks": [{"name": "rmia", "offline_a": True}]}},
            "audit.attacks[0].offline_a: no setting is true",
        ),
        ({"run": {"log_dir": "a\0b"}}, "run.log_dir: must not contain a null character"),
        ({"audit": {"target": "service:predict"}}, "audit.target: expected keys and values, got 'service:predict'"),
        ({"audit": {"target": {"weights": "w.pt"}}}, "audit.target.members: this key is required; add it"),
        ({"audit": {"target": {"members": "m.npy"}}}, "audit.target: give either weights, or query"),
        (
            {"audit": {"target": {"members": "m.npy", "weights": "w.pt", "query": "a:b"}}},
            "audit.target: give either weights, or query",
        ),
        (
            {"audit": {"target": {"members": "m.npy", "query": "a:b", "model": "mlp"}}},
            "audit.target: model says what the weights are of",
        ),
        (
            {"audit": {"target": {"members": "m.npy", "query": "predict"}}},
            "audit.target.query: must be module:function, got 'predict'",
        ),
        (
            {"audit": {"target": {"members": "m.npy", "weight": "w.pt"}}},
            "audit.target.weight: unknown; did you mean weights?",
        ),
        (
            {"audit": {"target": {"members": "s3://key:secret@b/m.npy", "weights": "w.pt"}}},
            "audit.target.members: an address has no keys",
        ),
        (
            {"run": {"log_dir": "x", "num_experiments": 2}, "audit": {"target": {"members": "m", "weights": "w"}}},
            "run.num_experiments: with audit.target one model is attacked, got 2; leave it out",
        ),
        ({"train": 5}, "train: expected keys and values, got 5"),
    ],
)
def test_build_config_explains_mistakes(sections, message):
    """One line names the path, the value and the remedy."""
    with pytest.raises(ConfigError) as error:
        config(**sections)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_build_config_is_frozen():
    """A configuration cannot be changed after it was checked."""
    with pytest.raises(Exception, match="frozen"):
        config().run.random_seed = 3


def test_defaults_are_loss_rmia_and_lira():
    """Without a list, the baseline and both reference attacks run."""
    assert config().attacks == {"loss": Loss(), "rmia": Rmia(), "lira": Lira()}


def test_attack_settings_reach_the_attack():
    """Settings and labels of an entry end up in the attack."""
    attacks = config(audit={"attacks": [{"name": "rmia", "label": "on", "mode": "online", "gamma": 2}]}).attacks
    assert attacks == {"on": Rmia(mode="online", gamma=2.0)}


@pytest.mark.parametrize(("k", "experiments", "models"), [(1, 1, 4), (3, None, 8), (1, 7, 8), (7, 2, 16)])
def test_num_models_follows_privacy_meter(k, experiments, models):
    """2 max(ceil(experiments / 2), k + 1) models are trained."""
    run = {"log_dir": "x", "num_experiments": experiments}
    assert build_config({"run": run, "audit": {"num_ref_models": k}}).num_models == models


def test_privacy_meter_file_runs_unchanged(tmp_path):
    """A version 2 file of Privacy Meter is accepted as it is, with one note for each key that has no use."""
    path = tmp_path / "cifar10.yaml"
    path.write_text(PRIVACY_METER)
    loaded = load_config(path)
    assert loaded.num_models == 4
    assert list(loaded.attacks) == ["rmia", "loss"]
    assert loaded.audit.report_log == "report_rmia"
    assert loaded.train.recipe().weight_decay == 0
    assert [note.split(" ")[0] for note in loaded.notes()] == ["train.device", "audit.device"]


def test_load_config_applies_overrides(tmp_path):
    """section.key=value wins over the file, and values are YAML."""
    path = tmp_path / "c.yaml"
    path.write_text("run: {log_dir: x}\n")
    loaded = load_config(path, ["train.learning_rate=1e-3", "audit.views=[identity]", "run.log_dir=y"])
    assert loaded.train.learning_rate == 0.001
    assert loaded.audit.views == ("identity",)
    assert loaded.run.log_dir == "y"


def test_load_config_applies_overrides_of_keys_in_keys(tmp_path):
    """audit.target.weights=... changes one key of the target and leaves the others."""
    path = tmp_path / "c.yaml"
    path.write_text("run: {log_dir: x}\naudit: {target: {members: m.npy, weights: a.pt}}\n")
    target = load_config(path, ["audit.target.weights=b.pt", "audit.target.attempts=2"]).audit.target
    assert (target.members, target.weights, target.attempts) == ("m.npy", "b.pt", 2)
    with pytest.raises(ConfigError, match=r"target: expected keys and values, got 'm.npy'"):
        load_config(path, ["audit.target=m.npy", "audit.target.weights=b.pt"])


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("run: {log_dir: x}", ["epochs=3"], "override 'epochs=3': expected section.key=value"),
        ("run: {log_dir: x}", ["trian.epochs=3"], "trian.epochs: unknown section 'trian'; did you mean train?"),
        ("run: {log_dir: x}", ["train.epochs=[3"], "override train.epochs line 1: not valid YAML"),
        ("run: [", [], "{path} line 1: not valid YAML"),
        ("run: {log_dir: x}\nrun: {log_dir: y}", [], "{path} line 2: not valid YAML: the key 'run' is given twice"),
        ("run: {log_dir: 2024-02-30}", [], "{path}: not valid YAML: day is out of range"),
        ("? [a]\n: 1", [], "{path} line 1: not valid YAML: a key must be a text"),
        ("run: " + "[" * 3000, [], "{path}: not valid YAML: nested too deeply"),
        ("", [], "{path}: expected sections run, audit, train, data, got None"),
        ("- a", [], "{path}: expected sections run, audit, train, data, got ['a']"),
    ],
)
def test_load_config_explains_bad_files(tmp_path, text, overrides, message):
    """Files that are not what they should be are named with the line."""
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(path, overrides)
    assert str(error.value).startswith(message.format(path=path))


def test_load_config_missing_file(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(ConfigError, match="cannot be read .No such file or directory.; give the path of a YAML file"):
        load_config(tmp_path / "no.yaml")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_configs_are_valid(path):
    """Every file in configs/ loads, and says in its first line how it is run."""
    assert load_config(path).num_models % 2 == 0
    assert path.read_text().startswith(f"# python -m raymeter.audit configs/{path.name}\n")


def test_configs_readme_explains_every_key():
    """configs/README.md has exactly the keys of the schema, with their defaults."""
    sections = "|".join(AuditConfig.model_fields)
    text = (CONFIGS / "README.md").read_text()
    rows = re.findall(rf"^\| `((?:{sections})\.[\w.]+)` \| `(.+?)` \| (.+) \|$", text, re.MULTILINE)
    documented = {key: (default, meaning) for key, default, meaning in rows}
    sections_of = {name: field.annotation for name, field in AuditConfig.model_fields.items()}
    expected = {}
    for section, model in {**sections_of, "audit.target": TargetSection}.items():
        for key, info in model.model_fields.items():
            default = "required" if info.is_required() else yaml.safe_dump(info.default).splitlines()[0]
            expected[f"{section}.{key}"] = (default, info.description)
    assert documented == expected


def test_configs_readme_explains_every_attack():
    """The table of attacks has exactly the settings of the attacks table, with their defaults."""
    text = (CONFIGS / "README.md").read_text()
    table = text[text.index("| attack | setting |") :].split("\n\n")[0]
    documented, name = {}, ""
    for cells in (line.split("|")[1:4] for line in table.splitlines()[2:]):
        name = cells[0].strip(" `") or name
        documented.setdefault(name, {})
        if cells[1].strip():
            documented[name][cells[1].strip(" `")] = cells[2].strip(" `")
    expected = {}
    for name, kind in ATTACKS.items():
        settings = build_config({"run": {"log_dir": "x"}, "audit": {"attacks": [name]}}).resolved()["audit"]["attacks"][
            0
        ]
        plain = {key: value for key, value in settings.items() if key not in ("label", "name")}
        if name == "stack":
            plain["of"] = f"[{', '.join(part['name'] for part in plain['of'])}]"
        expected[name] = {key: str(value) for key, value in plain.items()}
        assert kind.__doc__
    assert documented == expected


def test_a_file_in_utf16_is_named(tmp_path):
    """As Windows PowerShell writes it; the codec's own words helped nobody."""
    (tmp_path / "a.yaml").write_text("run: {log_dir: x}", encoding="utf-16")
    with pytest.raises(ConfigError, match="a.yaml: cannot be read .it is no text in UTF-8; save it so.; give the path"):
        load_config(tmp_path / "a.yaml")
