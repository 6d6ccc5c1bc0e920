"""The values that flow between stages refuse what would give wrong numbers later."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.errors import SignalError
from raymeter.schema import SignalMatrix
from raymeter.schema.signals import default_reference

MEMBER = np.array([[True, False, True, False], [False, True, True, False], [True, False, False, True]])


def matrix(**changes):
    fields = {"kind": "log_prob", "values": -np.ones((3, 4, 1), np.float32), "member": MEMBER}
    return SignalMatrix(**{**fields, **changes})


def test_defaults_make_every_model_a_target_without_its_opposite():
    """Targets, ids and references follow from the membership."""
    made = matrix()
    np.testing.assert_array_equal(made.targets, [0, 1, 2, 3])
    np.testing.assert_array_equal(made.ids, [0, 1, 2])
    np.testing.assert_array_equal(made.reference, default_reference(MEMBER))
    assert not made.reference[0, 1]
    assert made.reference[0, 2]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"kind": "los"},
            "kind must be one of log_prob, logit_gap, hinge, neg_entropy, neg_modified_entropy, got 'los'",
        ),
        ({"values": np.ones((3, 4), np.float32)}, "values must be .examples, models, queries., got shape"),
        ({"member": MEMBER.astype(int)}, "member must be bool with shape"),
        ({"reference": default_reference(MEMBER).astype(int)}, "reference must be bool, got int64"),
        ({"reference": np.ones((4, 4), bool)}, "a target may not be its own reference"),
        ({"targets": np.array([0, 1, 2, 4])}, "targets must lie in 0..3, got 0..4"),
        ({"labels": np.zeros(2, np.int64)}, "labels must have 3 entries, got 2"),
        ({"ids": np.arange(2)}, "ids must have 3 entries, got 2"),
        ({"values": np.full((3, 4, 1), np.nan, np.float32)}, "3 of 3 records have a signal that is not finite"),
    ],
)
def test_signal_matrix_refuses(changes, message):
    """Each mistake is one line with the value."""
    with pytest.raises(SignalError, match=message):
        matrix(**changes)
