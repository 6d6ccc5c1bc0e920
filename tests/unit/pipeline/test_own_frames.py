"""Data of a Python session become the data of an audit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import raymeter
from raymeter.config.load import build_config
from raymeter.data import load_dataset
from raymeter.errors import ConfigError, DataError
from raymeter.pipeline.own_frames import with_data

FRAME = pd.DataFrame(
    {"age": [20.0, None] * 20, "job": ["a", "b", "c", None] * 10, "bought": ["no", "yes"] * 20},
    index=pd.Index([f"p{i}" for i in range(40)], name="who"),
)


@pytest.mark.parametrize("frame", [FRAME, pa.Table.from_pandas(FRAME)], ids=["pandas", "pyarrow"])
def test_a_data_frame_is_kept_and_encoded(tmp_path, frame):
    """Its index is no feature, gaps stay gaps, and the model is one that fills them."""
    config = build_config(with_data({}, frame, "bought", str(tmp_path / "run")))
    assert config.train.model_name == "tabular" and config.data.path == str(tmp_path / "run/data.parquet")
    dataset = load_dataset(config.data_spec())
    assert dataset.contents.startswith("5 features (age, age is missing, job=a, job=b, job=c), without who")
    assert dataset.num_classes == 2 and dataset.has_gaps
    assert (tmp_path / "run/data.parquet").stat().st_mode & 0o777 == 0o600


def test_arrays_and_tensors_are_kept_too(tmp_path):
    """With whatever else the configuration says, and a model of the user's choice."""
    x, y = torch.rand(30, 4), np.arange(30) % 3
    sections = {"run": {"log_dir": str(tmp_path)}, "audit": {"num_ref_models": 1}}
    config = build_config(with_data(sections, (x, y), model="mlp"))
    assert config.train.model_name == "mlp" and config.audit.num_ref_models == 1
    dataset = load_dataset(config.data_spec())
    np.testing.assert_array_equal(np.concatenate([dataset.population_y, dataset.y]).size, 30)
    before = Path(config.data.path).stat().st_mtime_ns
    with_data(sections, (x, y), model="mlp")
    assert Path(config.data.path).stat().st_mtime_ns == before  # the same data are not written again


@pytest.mark.parametrize(
    ("arguments", "error", "line"),
    [
        ({"data": FRAME}, ConfigError, "run: say where the audit is to be kept, such as run='audits/first'"),
        (
            {"config": {"run": {"log_dir": "a"}}, "data": FRAME, "run": "b"},
            ConfigError,
            "run: got 'b', and the configuration",
        ),
        (
            {"config": {"data": {"path": "x.csv"}}, "data": FRAME, "run": "b"},
            ConfigError,
            "data: the configuration names data",
        ),
        (
            {"config": "demo", "data": FRAME},
            ConfigError,
            "config: with data it must be sections as a dict, or left out",
        ),
        ({"data": ([[1.0]], [0]), "label": "y", "run": "b"}, ConfigError, "label: .x, y. has its labels as y, got 'y'"),
        (
            {"data": [1, 2], "run": "b"},
            DataError,
            "data: got list; give a data frame with a column of classes, or .x, y.",
        ),
        (
            {"data": pd.DataFrame({"a": [1, "x"]}), "run": "b"},
            DataError,
            "data: the data frame cannot be kept as Parquet",
        ),
        ({}, ConfigError, "audit: give a configuration, or data with label, model and run"),
        ({"config": "demo", "label": "y"}, ConfigError, "audit: give a configuration, or data with label"),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path, monkeypatch, arguments, error, line):
    """Before Ray is started, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=line):
        raymeter.audit(**arguments)
    assert list(tmp_path.iterdir()) == []
