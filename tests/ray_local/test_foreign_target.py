"""Targets that were trained elsewhere: known by their weights, or asked over HTTP."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import service
import torch
from audits import small_config

from raymeter.config.load import build_config
from raymeter.data import load_dataset
from raymeter.distributed.session import connected
from raymeter.errors import ConfigError
from raymeter.models import build_model
from raymeter.pipeline.audit import run
from raymeter.pipeline.console import StageConsole
from raymeter.pipeline.dry_run import dry_run
from raymeter.report.verdict import remarks
from raymeter.storage.run_store import RunStore

ATTACKS = ["loss", "rmia", "lira", {"name": "rmia", "label": "online", "mode": "online"}]


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    """One embedded Ray for the whole module, whose workers find the models in audits.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        with connected(build_config({"run": {"log_dir": "x"}, "cluster": {"num_cpus": 2}}).cluster):
            yield


def config_of(path, **changes):
    audit = {"attacks": ATTACKS, "power_curve": False, "blind_baseline": False, **changes.pop("audit", {})}
    return small_config(path, audit=audit, **changes)


def result_of(config):
    return run(config, RunStore.at(config.run.log_dir), StageConsole())


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An audit of four models that attacks the first: its directory, its result, and the first one's members."""
    path = tmp_path_factory.mktemp("own") / "run"
    config = config_of(path, run={"log_dir": str(path), "num_experiments": 1})
    result = result_of(config)
    dataset = load_dataset(config.data_spec())
    member = np.load(path / "models/memberships.npy")[0]
    np.save(path.parent / "members.npy", dataset.rows[member])
    return path, result, dataset


@pytest.fixture
def copied(own, tmp_path):
    """A copy of its directory, where models are reused, with the first model as a file from elsewhere."""
    shutil.copytree(own[0], tmp_path / "run")
    shutil.copy(own[0] / "models/model_0.safetensors", tmp_path / "target.safetensors")
    return tmp_path


def same_scores(first, second, **tolerance):
    for one, other in zip(first.attacks, second.attacks, strict=True):
        np.testing.assert_array_equal(one.scores.member, other.scores.member)
        np.testing.assert_allclose(one.scores.values, other.scores.values, **tolerance, err_msg=one.name)


def test_own_model_as_a_foreign_target_has_its_own_scores(own, copied):
    """A trained model taken out and given back is attacked with the same references: equal, bit for bit."""
    target = {"weights": str(copied / "target.safetensors"), "members": str(own[0].parent / "members.npy")}
    result = result_of(config_of(copied / "run", audit={"target": target, "report_log": "target"}))
    same_scores(own[1], result, rtol=0, atol=0)
    metrics = json.loads((copied / "run/target/metrics.json").read_text())
    assert metrics["provenance"]["target"]["members"] == 200
    assert result.attacks[0].targets[0].name == "the target"
    assert [each["index"] for each in metrics["provenance"]["models"]] == [0, 1, 2, 3]
    assert remarks(result)[0].startswith(
        f"Target: {copied / 'target.safetensors'}, trained elsewhere; 200 of 400 audited"
    )
    np.testing.assert_allclose(result.records["p_value"], own[1].records["p_value"], rtol=1e-9)
    np.testing.assert_array_equal(result.records["row"], own[2].rows)


def test_another_target_is_judged_by_all_models_and_leaves_out_its_population(own, copied):
    """Another architecture and members of its own, some of them in the population; no model is trained again."""
    dataset = own[2]
    member = np.random.default_rng(0).random(dataset.total) < 0.7
    np.save(copied / "mask.npy", member)
    torch.manual_seed(0)
    torch.save(build_model("cnn", (1, 8, 8), 10).state_dict(), copied / "cnn.pt")
    target = {"weights": str(copied / "cnn.pt"), "members": str(copied / "mask.npy"), "model": "cnn"}
    before = (copied / "run/models/model_1.json").read_bytes()
    config = config_of(copied / "run", audit={"target": target, "report_log": "other"})
    assert "models: 4 in all, 4 reused, 0 to train" in dry_run(config)
    result = result_of(config)
    assert (copied / "run/models/model_1.json").read_bytes() == before
    np.testing.assert_array_equal(result.attacks[0].scores.member[:, 0], member[dataset.rows])
    masks = np.load(copied / "run/signals/masks.npz")
    np.testing.assert_array_equal(masks["population_ids"], np.flatnonzero(~member[dataset.population_rows]))
    np.testing.assert_array_equal(masks["reference"], [[True] * 4 + [False]])


@pytest.fixture
def server(own):
    """The first model behind HTTP, where requests fail now and then; how much it was asked."""
    path, _, dataset = own
    model = build_model("mlp", dataset.x.shape[1:], dataset.num_classes).eval()
    model.load_state_dict(safetensors.torch.load_file(path / "models/model_0.safetensors"))
    with service.serving(model) as (service.URL, asked):
        yield asked


def test_a_target_behind_http_has_the_scores_of_its_weights(own, copied, server):
    """Refused and broken requests are made again; a second run asks nothing; the budget is told beforehand."""
    target = {"query": "service:predict", "members": str(own[0].parent / "members.npy"), "max_queries": 1500}
    config = config_of(copied / "run", audit={"target": target, "report_log": "asked"})
    result = result_of(config)
    same_scores(own[1], result, rtol=1e-3, atol=1e-3)
    assert server["records"] == 700
    assert result.provenance["target"]["records_sent"] > 700
    requests = server["requests"]
    same_scores(result, result_of(config), rtol=0, atol=0)
    assert server["requests"] == requests
    shutil.rmtree(copied / "run/target")
    with pytest.raises(ConfigError, match="max_queries: 600 records may be sent, 0 were, and 700 are still to be"):
        result_of(config_of(copied / "run", audit={"target": {**target, "max_queries": 600}}))
    assert server["requests"] == requests
