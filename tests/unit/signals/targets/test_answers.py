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


def file_of(tmp_path, number):
    return next(tmp_path.rglob(f"{number}.npz"))


@pytest.fixture
def three(store):
    """Three files of answers; the third holds the last record."""
    answers = Answers(store, "mine:ask", 2)
    for start, stop in ((0, 2), (2, 3), (3, 4)):
        answers.count_sent(stop - start)
        answers.keep(RECORDS[start:stop], ANSWERS[start:stop])
    return answers


def rewritten(path, **changes):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if value is not None})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(file_of(path.parent, 0).read_bytes()),
        lambda path: rewritten(path, answers=np.array([[0.9, 0.1]], dtype=np.float32)),
        lambda path: rewritten(path, answers=np.array([[0.9, 0.1]], dtype=np.float32), sha256=None),
        lambda path: rewritten(path, sent=np.int64(0)),
        lambda path: rewritten(path, sent=None),
        lambda path: rewritten(path, records=np.zeros((1, 8), np.uint8)),
    ],
)
def test_a_file_that_is_not_what_was_kept_is_lost_alone(store, three, tmp_path, spoil):
    """Deleted, cut, swapped or edited: what it held is unknown, what comes after it is not."""
    spoil(file_of(tmp_path, 1))
    again = Answers(store, "mine:ask", 2)
    assert (again.lost, again.files, again.sent, again.uncertain) == ([1], 3, 4, False)
    assert first_of_each(RECORDS, again.known).tolist() == [2]
    again.count_sent(1)
    again.keep(RECORDS[2:3], ANSWERS[2:3])
    whole = Answers(store, "mine:ask", 2)
    assert (whole.lost, whole.files, whole.sent) == ([], 3, 5)
    np.testing.assert_array_equal(whole.of(RECORDS), ANSWERS)


def test_every_bit_of_a_file_counts(store, three, tmp_path):
    """Whichever is turned, the answers that are believed are those that were given."""
    path = file_of(tmp_path, 1)
    whole = path.read_bytes()
    given = {key.hex(): answer.tolist() for key, answer in three.known.items()}
    for position in range(0, 8 * len(whole), 97):
        bits = bytearray(whole)
        bits[position // 8] ^= 1 << position % 8
        path.write_bytes(bytes(bits))
        found = Answers(store, "mine:ask", 2)
        assert {key.hex(): answer.tolist() for key, answer in found.known.items()}.items() <= given.items(), position


def test_files_of_earlier_versions_are_read(store, tmp_path):
    """They have no hashes, and their count has none; new files beside them have."""
    answers = Answers(store, "mine:ask", 2)
    answers.count_sent(3)
    answers.keep(RECORDS[:2], ANSWERS[:2])
    rewritten(file_of(tmp_path, 0), sha256=None, sent=None)
    store.write_json(f"{answers.place}/sent.json", {"records": 3})
    old = Answers(store, "mine:ask", 2)
    assert (old.sent, old.files, old.lost, old.uncertain) == (3, 1, [], False)
    old.count_sent(2)
    old.keep(RECORDS[2:], ANSWERS[2:])
    again = Answers(store, "mine:ask", 2)
    np.testing.assert_array_equal(again.of(RECORDS), ANSWERS)
    assert (again.sent, again.lost, again.uncertain) == (5, [], False)
    rewritten(file_of(tmp_path, 1), sha256=None, sent=None)
    assert Answers(store, "mine:ask", 2).lost == [1]
