"""Answers that were paid for: kept under a hash of each record, and read back by the next run."""

from __future__ import annotations

import numpy as np
import pytest

from raymeter.signals.targets.answers import Answers, first_of_each, record_keys
from raymeter.storage.run_store import RunStore

RECORDS = np.arange(12, dtype=np.float32).reshape(4, 3)
ANSWERS = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0], [0.125, 0.875]], dtype=np.float32)


@pytest.fixture
def store(tmp_path):
    return RunStore.at(str(tmp_path))


def test_answers_come_back_in_the_next_run(store):
    """In any order, bit for bit, with the number of records that were sent."""
    answers = Answers(store, "mine:ask", 2)
    answers.count_sent(4)
    answers.keep(RECORDS[:3], ANSWERS[:3])
    answers.keep(RECORDS[3:], ANSWERS[3:])
    again = Answers(store, "mine:ask", 2)
    np.testing.assert_array_equal(again.of(RECORDS[::-1]), ANSWERS[::-1])
    assert (again.sent, again.files) == (4, 2)


def test_the_files_lie_where_earlier_versions_put_them(store, tmp_path):
    """A run directory of before is found again: what is stored there is not asked, and paid for, once more."""
    Answers(store, "mine:ask", 2).keep(RECORDS, ANSWERS)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.npz")] == [
        "target/mine.ask-5e820dfad70b/0.npz"
    ]
    assert record_keys(RECORDS)[0].hex() == "5b625d1e522cce32df246677f2f2191a"


def test_another_function_or_number_of_classes_has_answers_of_its_own(store):
    """Answers of another target would be wrong, and those with other classes could not be read."""
    Answers(store, "mine:ask", 2).keep(RECORDS, ANSWERS)
    assert Answers(store, "mine:other", 2).known == {}
    assert Answers(store, "mine:ask", 3).known == {}


def test_equal_records_are_new_once():
    """Of several equal ones the first; of those that are known none."""
    batch = np.concatenate([RECORDS, RECORDS[1:3]])
    assert first_of_each(batch, set()).tolist() == [0, 1, 2, 3]
    assert first_of_each(batch, set(record_keys(RECORDS[:2]))).tolist() == [2, 3]


def test_type_and_shape_are_part_of_a_record(store):
    """The same bytes as another type, or in another shape, are another question."""
    keys = {record_keys(x)[0] for x in (RECORDS, RECORDS.view(np.int32), RECORDS.reshape(4, 3, 1))}
    assert len(keys) == 3
