"""The keys of stored signals: another where anything that decides them is another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymeter.config.sections import ClusterSection
from raymeter.schema.model_record import ModelRecord
from raymeter.signals.frame import column_keys
from raymeter.signals.plan import SignalPlan
from raymeter.signals.records import RecordSet

PLAN = SignalPlan(("identity",), 100, False, False, (2,), 2, "mlp", None, ClusterSection(), {})
OWN = ModelRecord(0, 0, "w", "hash", "r", 1.0, 1.0, 0.0, 0.0, 0.0)
FOREIGN = replace(OWN, architecture="net:build")


def record_set(part, shift=0.0):
    return RecordSet(part, np.arange(3), np.zeros((3, 2), dtype=np.float32) + shift, np.zeros(3, dtype=np.int64))


PARTS = record_set("audit"), record_set("population")


def key(plan=PLAN, model=FOREIGN, parts=PARTS):
    return column_keys(plan, parts, [model])["signals", "audit", 0]


@pytest.mark.parametrize(
    "other",
    [
        key(replace(PLAN, code={"net:build": "code"})),
        key(replace(PLAN, views=("identity", "mirror"))),
        key(replace(PLAN, block=50)),
        key(model=replace(FOREIGN, sha256="other")),
        key(parts=(record_set("audit", 1.0), PARTS[1])),
    ],
)
def test_whatever_decides_signals_is_in_their_key(other):
    """Code, views, block, weights and records."""
    assert other != key()


def test_edited_code_and_another_function_have_other_keys():
    """The same weights under two functions once shared a column."""
    codes = [{"net:build": "one"}, {"net:build": "two"}]
    keys = {key(replace(PLAN, code=code)) for code in codes}
    keys.add(key(replace(PLAN, code={"net:other": "one"}), replace(FOREIGN, architecture="net:other")))
    assert len(keys) == 3


def test_the_audits_own_models_keep_their_keys():
    """Their code is part of what the directory is: columns of earlier versions are found again."""
    assert key(replace(PLAN, code={"net:build": "code"}), OWN) == key(PLAN, OWN)
    assert key(PLAN, OWN) == "audit_model_0_0cda9df8e8f1322fea68"
