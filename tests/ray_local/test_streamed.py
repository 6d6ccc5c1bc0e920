"""Data beyond the memory limit: streamed, it gives the same bits however it is read, and the signals of data in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from audits import assert_same_bits
from pyarrow import parquet

from raymeter.collect import collect_signals, gather_records
from raymeter.config import AuditConfig, build_config
from raymeter.console import Silent
from raymeter.data import load_dataset
from raymeter.preflight import make_audit_split
from raymeter.runtime import connected
from raymeter.schema import Signals
from raymeter.store import RunStore
from raymeter.train import train_references

RECORDS, FEATURES = 20_000, 8


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    """One embedded Ray for the whole module."""
    with connected(build_config({"run": {"log_dir": "x"}, "cluster": {"num_cpus": 2}}).cluster):
        yield


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """A directory of two Parquet files with row groups of different sizes."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "records"
    folder.mkdir()
    x = rng.normal(size=(RECORDS, FEATURES)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=RECORDS) > 0).astype(np.int8)
    for number, rows, group in ((0, slice(0, 12_345), 1000), (1, slice(12_345, None), 3333)):
        columns = {f"f{i}": x[rows, i] for i in range(FEATURES)} | {"y": y[rows]}
        parquet.write_table(pa.table(columns), folder / f"part_{number}.parquet", row_group_size=group)
    return folder


def config_for(records: Path, log_dir: Path, limit: int, slots: int = 2, **audit) -> AuditConfig:
    return build_config(
        {
            "run": {"log_dir": str(log_dir)},
            "audit": {"num_ref_models": 1, "population_size": 1000, "batch_size": 300, **audit},
            "train": {"model_name": "mlp", "epochs": 2, "learning_rate": 0.05, "batch_size": 500},
            "data": {"dataset": "arrays", "path": str(records), "in_memory_limit": limit},
            "cluster": {"max_slots": slots},
        }
    )


def collect(config: AuditConfig, log_dir: Path, models_of: AuditConfig | None = None) -> tuple[Signals, list[str]]:
    """Signals, under models trained with this configuration or with another one."""
    said = Silent()
    dataset = load_dataset(config.data_spec())
    split = make_audit_split(config, dataset)
    trained = models_of or config
    store = RunStore.at(trained.run.log_dir)
    models = train_references(load_dataset(trained.data_spec()), split, trained.train, trained.cluster, store, said)
    if log_dir != Path(trained.run.log_dir):
        for model in models:
            RunStore.at(str(log_dir)).write(model.weights, store.read(model.weights))
    parts = gather_records(dataset, split, config.data.in_memory_limit)
    return collect_signals(dataset, split, parts, models, config, RunStore.at(str(log_dir)), said), said.lines


def test_streamed_signals_equal_those_of_data_in_memory(records, tmp_path):
    """The same weights give the same bits, whether records are in memory or come by chunks from their files."""
    whole = config_for(records, tmp_path / "whole", limit=10**9)
    here, _ = collect(whole, tmp_path / "whole")
    streamed = config_for(records, tmp_path / "whole", limit=100_000)
    assert load_dataset(streamed.data_spec()).is_streamed
    there, _ = collect(streamed, tmp_path / "streamed", whole)
    assert there.mapped and not here.mapped
    assert_same_bits(here, there)
    again, lines = collect(streamed, tmp_path / "streamed", whole)
    assert "signals of 4 of 4 models are stored and are reused" in lines
    assert_same_bits(there, again)
