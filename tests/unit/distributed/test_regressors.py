"""The keys of stored predictions of QMIA."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from raymeter.attacks.qmia import Qmia
from raymeter.distributed.regressors import Regression, _key
from raymeter.schema.model_record import ModelRecord
from raymeter.signals.records import RecordSet

TARGET = ModelRecord(0, 0, "w", "hash", "r", 1.0, 1.0, 0.0, 0.0, 0.0, architecture="net:build")
PARTS = [
    RecordSet(part, np.arange(3), np.zeros((3, 2), dtype=np.float32), np.zeros(3, dtype=np.int64))
    for part in ("audit", "population")
]


def key(code, model="mlp"):
    recipe = Qmia(model=model)
    return _key(recipe, Regression((recipe,), ("identity",), 2, 0, None, code), TARGET, *PARTS)


def test_code_of_regressor_and_target_is_in_the_key():
    """Predictions once outlived an edit of either: the target's signals, which they are fitted to, change with its code."""
    keys = [
        key({}, "own:build"),
        key({"own:build": "one"}, "own:build"),
        key({"own:build": "two"}, "own:build"),
        key({"own:build": "one", "net:build": "one"}, "own:build"),
        key({"net:build": "one"}),
        key({"net:build": "two"}),
    ]
    assert len(set(keys)) == len(keys)


def test_without_code_the_key_is_that_of_earlier_versions():
    """Predictions of built-in models for an audit's own targets are found again."""
    stage = Regression((Qmia(),), ("identity",), 2, 0, None, {"net:build": "one"})
    own = replace(TARGET, architecture="")
    assert _key(Qmia(), stage, own, *PARTS) == _key(Qmia(), replace(stage, code={}), own, *PARTS)
