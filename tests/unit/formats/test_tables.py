"""What names records in a table of scores stays as it is written."""

from __future__ import annotations

import pytest

from raymeter.formats.tables import read_scores


@pytest.mark.parametrize(
    "ids",
    [
        ["1e5", "2e5", "3e5"],
        ["AB", "CD", "NA"],
        ["N/A", "null", "x"],
        ["false", "true"],
        ["+7", "7", "8"],
        ["1", "2", "inf"],
        ["0x10", "0x11"],
        ["1.50", "2.5"],
        ["2024-01-05 08:30:00", "2024-01-06 00:00:00"],
    ],
)
def test_texts_that_look_like_something_else_name_records(tmp_path, ids):
    """Numbers, truth values, gaps and times, as readers of CSV take them: of one kind with ids that have leading zeros."""
    rows = [f"{name},{row},{row % 2}" for row, name in enumerate(ids)]
    (tmp_path / "scores.csv").write_text("\n".join(["id,score,member", *rows]) + "\n")
    assert read_scores(tmp_path / "scores.csv").names.tolist() == ids
