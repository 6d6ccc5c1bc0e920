"""Data beyond the memory limit: streamed, it gives the same bits however it is read, and the signals of data in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from audits import assert_same_bits
from pyarrow import parquet

from raymeter.config.load import AuditConfig, build_config
from raymeter.data import load_dataset
from raymeter.distributed.session import connected
from raymeter.distributed.signals.collect import collect_signals
from raymeter.distributed.training.train_references import train_references
from raymeter.pipeline.checks import make_audit_split
from raymeter.pipeline.stage_settings import signal_plan
from raymeter.schema import Signals
from raymeter.schema.origins import origins_of
from raymeter.schema.reporter import Silent
from raymeter.schema.seeds import model_seed
from raymeter.signals.records import gather_records
from raymeter.storage.model_store import ModelStore
from raymeter.storage.run_store import RunStore
from raymeter.training.streamed_trainer import StreamedData, StreamedTrainer, read_directly
from raymeter.training.trainer import fit

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
    plan = signal_plan(config, dataset, split)
    return collect_signals(plan, split, parts, models, RunStore.at(str(log_dir)), said), said.lines


@pytest.fixture(scope="module")
def two_slots(records, tmp_path_factory):
    """Signals of models that were trained on streamed records by two slots at once."""
    log_dir = tmp_path_factory.mktemp("two_slots")
    config = config_for(records, log_dir, limit=100_000)
    return config, collect(config, log_dir)[0]


def test_one_slot_gives_the_bits_of_two(records, two_slots, tmp_path):
    """Who reads the records, and when they arrive, changes nothing."""
    one, _ = collect(config_for(records, tmp_path, limit=100_000, slots=1), tmp_path)
    assert_same_bits(two_slots[1], one)


def test_a_slot_trains_what_the_same_chunks_read_directly_give(two_slots):
    """Ray Data adds nothing to the model: reading the chunks in this process gives the same weights."""
    config, _ = two_slots
    dataset, store = load_dataset(config.data_spec()), RunStore.at(config.run.log_dir)
    split = make_audit_split(config, dataset)
    recipe, seed = config.train.recipe(), model_seed(config.run.random_seed, 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    stream = read_directly(dataset.x, dataset.y)
    data = StreamedData.of(dataset.x, dataset.y, 2, torch.device("cpu"), stream)
    trainer = StreamedTrainer(data, split.member[:, 1].copy(), recipe, seed)
    fitted = fit(trainer, lambda trainer: None)
    torch.set_num_threads(threads)
    record, reason = ModelStore(store).load(1, origins_of(dataset, split, recipe)[1])
    assert reason == ""
    for name, value in ModelStore(store).read_weights(record).items():
        torch.testing.assert_close(fitted.model.state_dict()[name], value, rtol=0, atol=0)
    assert (fitted.train_accuracy, fitted.test_loss) == (record.train_accuracy, record.test_loss)
    assert record.test_accuracy > 0.7


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
