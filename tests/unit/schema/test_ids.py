"""Ids stay as their user wrote them."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pytest

from raymeter.errors import DataError
from raymeter.schema.ids import as_ids


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (np.array([7, 0, -3], dtype=np.int16), [7, 0, -3]),
        (np.array(["000007", "7"]), ["000007", "7"]),
        (np.array(["7", "8"], dtype=object), ["7", "8"]),
        (np.array([b"a7", b"b"]), ["a7", "b"]),
        (np.array([2.0, 5.0]), [2, 5]),
        (np.array([2.5, 5.0]), ["2.5", "5.0"]),
        (np.array([1e300]), ["1e+300"]),
        (np.array(["2024-01-05", "2024-02-29"], dtype="datetime64[ns]"), ["2024-01-05", "2024-02-29"]),
        (
            np.array(["2024-01-05T08:30", "2024-01-06"], dtype="datetime64[ns]"),
            ["2024-01-05T08:30", "2024-01-06T00:00"],
        ),
        (np.array([datetime.date(2024, 1, 5)], dtype=object), ["2024-01-05"]),
        (np.array([decimal.Decimal("1.50"), "x"], dtype=object), ["1.50", "x"]),
        (np.array([2**63 + 5], dtype=np.uint64), ["9223372036854775813"]),
    ],
)
def test_ids_are_kept_as_they_stand(given, found):
    """Whole numbers stay numbers; everything else is the text that it has."""
    ids = as_ids(given, "ids")
    assert ids.tolist() == found
    assert ids.dtype.kind in "iU" and (ids.dtype.kind == "U" or ids.dtype == np.int64)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.array([1.0, np.nan]), "ids: 1 of 2 are missing; the first is in row 1"),
        (np.array(["a", ""]), "ids: 1 of 2 are missing; the first is in row 1"),
        (np.array([None, "a"], dtype=object), "ids: 1 of 2 are missing; the first is in row 0"),
        (np.array([np.datetime64("NaT")]), "ids: 1 of 1 are missing"),
        (np.array([True, False]), "ids must be numbers or texts, got bool"),
        (np.zeros((2, 2)), r"ids must be a vector, one for each record, got float64\[2, 2\]"),
        (np.array([b"\xff"]), "ids are bytes that are no text in UTF-8"),
    ],
)
def test_what_names_no_record_is_refused(given, message):
    """Gaps are counted, and the first is named."""
    with pytest.raises(DataError, match=f"^{message}"):
        as_ids(given, "ids")
