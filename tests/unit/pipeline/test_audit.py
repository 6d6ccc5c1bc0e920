"""Audits that are refused: before a Ray is started, and without binding the run directory to themselves."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
from audits import small_config
from heads import free_ports

from raymeter.cli.main import main
from raymeter.data import load_dataset
from raymeter.errors import ConfigError, RunError
from raymeter.pipeline import audit as pipeline
from raymeter.pipeline.provenance import identity


def ask(records):
    raise AssertionError("nothing may be asked")


@pytest.fixture
def no_ray(monkeypatch):
    """Ends the test where a Ray would be started."""

    def start(*_):
        raise AssertionError("a Ray was started")

    monkeypatch.setattr(pipeline, "connected", start)


@pytest.fixture
def asked(tmp_path):
    """Overrides of an audit of digits whose target may be asked about fewer records than there are."""
    np.save(tmp_path / "members.npy", np.arange(0, 1797, 2))
    audit = {"num_ref_models": 1, "population_size": 300, "views": ["identity"]}
    target = {"query": f"{__name__}:ask", "members": str(tmp_path / "members.npy"), "max_queries": 500}
    sections = {
        "run": {"log_dir": str(tmp_path / "run")},
        "audit": {**audit, "target": target},
        "train": {"model_name": "mlp"},
        "data": {"dataset": "digits", "pool_size": 400},
    }
    (tmp_path / "audit.yaml").write_text(json.dumps(sections))
    return tmp_path / "audit.yaml"


@pytest.mark.usefixtures("no_ray")
@pytest.mark.parametrize("flags", [[], ["--dry-run"]])
def test_a_budget_that_is_too_small_is_an_input_error(asked, capsys, flags):
    """It was found out after Ray had started, with code 1, and never in a dry run."""
    assert main(["audit", str(asked), *flags]) == 2
    complaint = capsys.readouterr().err.splitlines()[-1]
    assert complaint.startswith("error: audit.target.max_queries: 500 records may be sent, 0 were, and ")
    assert not (asked.parent / "run").exists()


def test_a_budget_that_is_enough_stands_in_the_dry_run(asked, capsys):
    """How many records would be sent."""
    assert main(["audit", str(asked), "audit.target.max_queries=700", "--dry-run"]) == 0
    assert f"target: asking {__name__}:ask about " in capsys.readouterr().out


@pytest.mark.usefixtures("no_ray")
def test_a_target_that_is_refused_does_not_bind_the_directory(tmp_path, capsys):
    """The next audit in that directory was told that it holds models of a different audit."""
    np.save(tmp_path / "members.npy", np.arange(0, 1797, 2))
    (tmp_path / "empty.pt").write_bytes(b"")
    target = {"weights": str(tmp_path / "empty.pt"), "members": str(tmp_path / "members.npy")}
    with pytest.raises(Exception, match="holds no weights that can be read"):
        pipeline.audit(small_config(tmp_path / "run", audit={"target": target}))
    assert not (tmp_path / "run").exists()


def test_a_dead_cluster_is_known_before_the_data_are_read(tmp_path, monkeypatch):
    """They may take minutes."""
    monkeypatch.setattr(pipeline, "load_dataset", lambda *_: pytest.fail("data were read"))
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(RunError, match=f"no Ray cluster answers at {address}"):
        pipeline.audit(small_config(tmp_path, cluster={"address": address}))


def trained(error):
    """A training stage that ends so."""

    def stage(*_):
        raise error

    return stage


@pytest.mark.parametrize(
    "error", [ConfigError("train.resources_per_model: no model fits"), RunError("diverged"), KeyboardInterrupt()]
)
def test_a_directory_without_a_model_is_free_again(tmp_path, monkeypatch, error):
    """Whatever ended the audit: another seed may use the directory."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(pipeline, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(pipeline, "train_references", trained(error))
    with pytest.raises(type(error)):
        pipeline.audit(small_config(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("left", ["models/model_1.json", "models/model_3.checkpoint.safetensors"])
def test_a_directory_with_any_part_of_a_model_stays_bound(tmp_path, monkeypatch, left):
    """A checkpoint is of these data, too."""
    config = small_config(tmp_path)

    def stage(*_):
        (tmp_path / "models").mkdir()
        (tmp_path / left).write_bytes(b"something")
        raise RunError("the cluster is gone")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(pipeline, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(pipeline, "train_references", stage)
    with pytest.raises(RunError):
        pipeline.audit(config)
    bound = pipeline.RunStore.at(str(tmp_path)).read_sealed("run.json", "")
    assert bound == json.loads(json.dumps(identity(config, load_dataset(config.data_spec()))))


def test_a_directory_that_was_bound_before_and_a_clusters_stay_bound(tmp_path, monkeypatch):
    """An older audit's directory is its own; on a cluster a worker may still be writing."""
    monkeypatch.setattr(pipeline, "connected", lambda *_: nullcontext())
    monkeypatch.setattr(pipeline, "require_cluster", lambda *_: None)
    monkeypatch.setattr(pipeline, "train_references", trained(RunError("diverged")))
    for name, cluster in (("own", {}), ("cluster", {"address": "10.0.0.1:6379"})):
        config = small_config(tmp_path / name, cluster=cluster)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        if name == "own":
            pipeline.RunStore.at(config.run.log_dir).claim(identity(config, load_dataset(config.data_spec())))
        with pytest.raises(RunError):
            pipeline.audit(config)
        assert (tmp_path / name / "run.json").exists()
