"""A target that can only be asked: patience, limits, a budget, and answers that are paid for once."""

from __future__ import annotations

import json
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from scipy.special import log_softmax, logsumexp, softmax
from torch import nn

from raymeter.config.load import build_config
from raymeter.errors import ConfigError, RunError, StoreError
from raymeter.schema import Dataset
from raymeter.schema.reporter import Silent
from raymeter.signals.targets import black_box as blackbox
from raymeter.signals.targets.black_box import BlackBox
from raymeter.storage.run_store import RunStore
from raymeter.training.split import make_split, with_foreign_target

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(4, 3))
RECORDS = RNG.normal(size=(14, 4)).astype(np.float32)
LABELS = np.arange(14) % 3
CALLS: list[np.ndarray] = []
FAULTS: list[object] = []  # what happens instead of the next answers


def logits_of(records):
    return records.astype(np.float64) @ WEIGHTS


def answer(records):
    """The service: keeps what it was asked, and fails or lies where the test says so."""
    CALLS.append(records)
    fault = FAULTS.pop(0) if FAULTS else None
    if isinstance(fault, Exception):
        raise fault
    return softmax(logits_of(records), axis=1) if fault is None else fault(records)


NO_FUNCTION = 3
THIRDS = np.full((4, 3), 1 / 3)


@pytest.fixture(autouse=True)
def service(monkeypatch):
    """Nothing asked yet, no faults, and pauses that do not last."""
    CALLS.clear()
    FAULTS.clear()
    pauses = []
    monkeypatch.setattr(blackbox.time, "sleep", pauses.append)
    return pauses


def box(path, **keys):
    data = Dataset("random", RECORDS[:10], LABELS[:10], RECORDS[10:], LABELS[10:], 3)
    split = make_split(pool=10, population=4, models=4, targets=None, examples=None, seed=0)
    split = with_foreign_target(split, np.arange(10) < 5, np.zeros(4, dtype=bool))
    section = {"members": "m.npy", "query": f"{__name__}:answer", "batch_size": 4, **keys}
    config = build_config({"run": {"log_dir": str(path)}, "audit": {"target": section}})
    views, limit = config.views(data.is_image), config.data.in_memory_limit
    return BlackBox(config.audit.target.kind(), views, limit, data, split, RunStore.at(str(path)))


PARTS = [("audit", RECORDS[:10], LABELS[:10]), ("population", RECORDS[10:], LABELS[10:])]


def test_signals_are_those_of_the_model_behind(tmp_path):
    """Log-probability and logit gap as from logits, to float32; every record is sent once, in batches."""
    target, said = box(tmp_path), Silent()
    target.prepare(said)
    assert [len(call) for call in CALLS] == [4]
    record, columns = target.answer(PARTS, said)
    assert [len(call) for call in CALLS] == [4, 4, 2, 4]
    for part, x, y in PARTS:
        logits, rows = logits_of(x), np.arange(len(y))
        others = logits.copy()
        others[rows, y] = -np.inf
        expected = np.stack([log_softmax(logits, axis=1)[rows, y], logits[rows, y] - logsumexp(others, axis=1)])
        np.testing.assert_allclose(columns["signals", part][:, :, 0], expected, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(columns["logits", part][:, 0], log_softmax(logits, axis=1), rtol=1e-4, atol=1e-4)
    right = logits_of(RECORDS[:10]).argmax(axis=1) == LABELS[:10]
    assert (record.index, record.train_accuracy, record.test_accuracy) == (4, right[:5].mean(), right[5:].mean())
    assert target.about["records_sent"] == 14


def test_certain_answers_have_finite_signals(tmp_path):
    """Probabilities of exactly 0 and 1 do not become infinite."""
    FAULTS.extend([lambda records: np.eye(3)[np.zeros(len(records), int)]] * 4)
    _, columns = box(tmp_path).answer(PARTS, Silent())
    assert all(np.isfinite(column).all() for column in columns.values())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda p: torch.tensor(p, requires_grad=True),
        lambda p: nn.Parameter(torch.tensor(p, dtype=torch.float32)),
        lambda p: list(torch.tensor(p).to_sparse()),
        lambda p: csr_matrix(p),
        lambda p: p.tolist(),
    ],
)
def test_answers_may_be_tensors_sparse_or_lists(tmp_path, wrap):
    """A tensor of the model itself was refused as no numbers."""
    FAULTS.extend([lambda records: wrap(softmax(logits_of(records), axis=1))] * 4)
    _, columns = box(tmp_path).answer(PARTS, Silent())
    expected = log_softmax(logits_of(RECORDS[:10]), axis=1)
    np.testing.assert_allclose(columns["logits", "audit"][:, 0], expected, rtol=1e-4, atol=1e-4)


def test_a_second_run_asks_nothing(tmp_path):
    """The answers are those of the first, bit for bit."""
    _, first = box(tmp_path).answer(PARTS, Silent())
    CALLS.clear()
    target, said = box(tmp_path), Silent()
    target.prepare(said)
    record, second = target.answer(PARTS, said)
    assert CALLS == []
    assert said.lines[0] == f"14 answers of {__name__}:answer are stored and are reused"
    for key in first:
        np.testing.assert_array_equal(first[key], second[key])


def test_equal_records_are_asked_about_once(tmp_path):
    """One question for a record that is there three times."""
    target = box(tmp_path)
    same = np.repeat(RECORDS[:1], 3, axis=0)
    _, columns = target.answer([("audit", np.concatenate([same, RECORDS[3:10]]), LABELS[:10])], Silent())
    assert sum(map(len, CALLS)) == 8
    np.testing.assert_array_equal(columns["logits", "audit"][0], columns["logits", "audit"][2])


def test_failing_calls_are_made_again_with_growing_pauses(tmp_path, service):
    """Two failures, then an answer; what was sent counts, answered or not."""
    FAULTS.extend([ConnectionError("reset"), TimeoutError("late")])
    target = box(tmp_path)
    target.answer(PARTS, Silent())
    assert service == [0.5, 1.0]
    assert target.answers.sent == 14 + 2 * 4


def test_a_service_that_is_down_ends_the_audit_and_keeps_the_answers(tmp_path):
    """After the allowed attempts one line; the next run asks only for the rest."""
    FAULTS.extend([None, *[ConnectionError("refused\nand more")] * 3])
    with pytest.raises(RunError) as error:
        box(tmp_path, attempts=3).answer(PARTS, Silent())
    assert str(error.value) == (
        f"audit.target.query: {__name__}:answer failed 3 times in a row (ConnectionError: refused); answers so far are "
        "kept: start the same command again, or raise audit.target.attempts"
    )
    CALLS.clear()
    box(tmp_path).answer(PARTS, Silent())
    assert sum(map(len, CALLS)) == 10


class Refused(Exception):
    """What a client of HTTP raises, with the address that holds a key."""

    def __init__(self, status):
        super().__init__(f"{status} for url: https://me:secret@host/predict?key=secret and more")
        self.response = SimpleNamespace(status_code=status)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_what_is_refused_is_not_asked_again(tmp_path, service, status):
    """A wrong key was tried five times, each time counted; the line repeats no key."""
    FAULTS.append(Refused(status))
    target = box(tmp_path)
    with pytest.raises(RunError) as error:
        target.answer(PARTS, Silent())
    assert str(error.value) == (
        f"audit.target.query: {__name__}:answer was refused, or is at fault (Refused: {status} for url: https://... and "
        "more), which asking again does not change; mend it, its address or its key: answers so far are kept"
    )
    assert (service, len(CALLS)) == ([], 1)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_passes_by_itself_is_asked_again(tmp_path, service, status):
    """Too many requests, a server that is busy."""
    FAULTS.append(Refused(status))
    box(tmp_path).answer(PARTS, Silent())
    assert service == [0.5]


def test_a_call_that_hangs_is_given_up_and_made_again(tmp_path):
    """It held the audit for ever; the late answer is not used."""
    late = threading.Event()

    def hang(records):
        late.wait(30)
        return np.zeros((len(records), 3))

    FAULTS.append(hang)
    target = box(tmp_path, timeout=0.2)
    start = time.monotonic()
    target.answer(PARTS, Silent())
    late.set()
    assert time.monotonic() - start < 10
    assert target.answers.sent == 14 + 4


def test_a_service_that_always_hangs_ends_the_audit(tmp_path):
    """With the key that says how long a call may take."""
    late = threading.Event()
    FAULTS.extend([lambda records: late.wait(30)] * 2)
    with pytest.raises(RunError) as error:
        box(tmp_path, timeout=0.1, attempts=2).prepare(Silent())
    late.set()
    assert "failed 2 times in a row (TimeoutError: no answer within 0.1 s (audit.target.timeout))" in str(error.value)


def test_a_function_that_ends_the_process_is_an_error(tmp_path):
    """sys.exit(0) ended the audit with code 0, and nothing had been audited."""
    FAULTS.append(lambda records: sys.exit(0))
    with pytest.raises(RunError, match=r"answer called sys.exit\(0\); have it raise an error"):
        box(tmp_path).prepare(Silent())


def test_a_lost_file_is_told_and_asked_about_alone(tmp_path):
    """Before it is paid for; what comes after it is kept, and the next run finds all of it."""
    target = box(tmp_path)
    _, first = target.answer(PARTS, Silent())
    (tmp_path / target.answers.place / "1.npz").unlink()
    CALLS.clear()
    again, said = box(tmp_path, max_queries=18), Silent()
    again.check(said)
    assert said.lines == [
        f"10 answers of {__name__}:answer are stored and are reused",
        f"files of stored answers are missing or damaged in {again.answers.place}: 1.npz; records that they held and that "
        "are needed are asked about, and paid for, once more",
        f"asking {__name__}:answer about 4 records, 4 at a time",
    ]
    assert CALLS == []
    _, second = again.answer(PARTS, Silent())
    assert [len(call) for call in CALLS] == [4]
    np.testing.assert_array_equal(first["logits", "audit"], second["logits", "audit"])
    whole, said = box(tmp_path), Silent()
    whole.check(said)
    assert said.lines == [f"14 answers of {__name__}:answer are stored and are reused"]


def edited(path):
    count = json.loads(path.read_text())
    path.write_text(json.dumps({**count, "records": 0}))


def as_of_an_earlier_version(path):
    path.write_text(json.dumps({"records": 0}))


@pytest.mark.parametrize(
    "spoil", [edited, as_of_an_earlier_version, lambda path: path.write_text("{"), lambda path: path.unlink()]
)
def test_a_budget_cannot_be_raised_by_editing_the_count(tmp_path, spoil):
    """The line says what is known; without a limit the audit goes on."""
    target = box(tmp_path, max_queries=14)
    target.answer(PARTS, Silent())
    spoil(tmp_path / target.answers.place / "sent.json")
    with pytest.raises(StoreError) as error:
        box(tmp_path, max_queries=14).check(Silent())
    assert str(error.value) == (
        f"{tmp_path}/{target.answers.place}/sent.json is missing or was altered, so it is not known how many records were "
        "sent (14 at least); put it back, leave audit.target.max_queries out, or choose another run.log_dir"
    )
    said = Silent()
    box(tmp_path).check(said)
    assert said.lines[-1].endswith("(14 at least)")


def test_an_older_count_is_no_smaller_than_its_answers(tmp_path):
    """A copy of sent.json that was kept aside has a hash that is right."""
    target = box(tmp_path, max_queries=14)
    target.prepare(Silent())
    kept = (tmp_path / target.answers.place / "sent.json").read_bytes()
    target.answer(PARTS, Silent())
    (tmp_path / target.answers.place / "sent.json").write_bytes(kept)
    assert box(tmp_path).answers.sent == 14


def test_a_budget_that_is_too_small_shows_before_anything_is_sent(tmp_path):
    """The line says how much is needed."""
    for found_out in (
        lambda: box(tmp_path, max_queries=13).check(Silent()),
        lambda: box(tmp_path, max_queries=13).prepare(Silent()),
    ):
        with pytest.raises(ConfigError) as error:
            found_out()
    assert CALLS == []
    assert str(error.value).startswith(
        "audit.target.max_queries: 13 records may be sent, 0 were, and 14 are still to be; raise it to 14 or more"
    )


def test_the_budget_holds_over_failures_and_runs(tmp_path):
    """Records that were sent in vain count, also in the next run."""
    FAULTS.extend([None, ConnectionError("reset")])
    with pytest.raises(RunError, match=r"14 records may be sent, 14 were, and 4 are still to be; raise it to 18"):
        box(tmp_path, max_queries=14).answer(PARTS, Silent())
    assert sum(map(len, CALLS)) == 14
    with pytest.raises(ConfigError, match=r"15 records may be sent, 14 were, and 4 are still"):
        box(tmp_path, max_queries=15).prepare(Silent())
    box(tmp_path, max_queries=18).answer(PARTS, Silent())


def test_calls_keep_their_distance(tmp_path, service):
    """Four calls at one in a hundred seconds: three pauses of as many, less what passes anyway."""
    start = time.monotonic()
    box(tmp_path, calls_per_second=0.01).answer(PARTS, Silent())
    waited = [pause for pause in service if pause > 0]
    assert len(waited) == 3
    assert all(100 - (time.monotonic() - start) <= pause <= 100 for pause in waited)


def test_a_damaged_answers_file_is_asked_about_again(tmp_path):
    """Only what was in it; what else is stored stays."""
    target = box(tmp_path)
    _, first = target.answer(PARTS, Silent())
    path = tmp_path / target.answers.place / "1.npz"
    path.write_bytes(path.read_bytes()[:-40])
    CALLS.clear()
    _, second = box(tmp_path).answer(PARTS, Silent())
    assert [len(call) for call in CALLS] == [4]
    np.testing.assert_array_equal(first["logits", "audit"], second["logits", "audit"])


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (lambda records: logits_of(records), "answered no probabilities for 4 of 4 records: the first has values from"),
        (lambda records: np.ones((len(records), 2)) / 2, "answered shape [4, 2] for 4 records; it must give [4, 3]"),
        (
            lambda records: np.ones(4) / 2,
            "answered shape [4] for 4 records; it must give [4, 3], a probability per class",
        ),
        (lambda records: np.ones((1, 3)) / 3, "answered shape [1, 3] for 4 records"),
        (lambda records: np.full((len(records), 3), np.nan), "answered no probabilities for 4 of 4 records"),
        (lambda records: np.full((len(records), 3), 1 / 3 + 0j), "answered complex128 [4, 3]; it must give numbers"),
        (lambda records: np.full((len(records), 3), "0.3"), "answered <U3 [4, 3]; it must give numbers"),
        (lambda records: np.ma.masked_less(THIRDS, 1), "the answer has 12 masked values, the first at [0, 0]"),
        (lambda records: [[0.5, 0.5], [1.0], [1.0], [1.0]], "the answer: its rows differ in length"),
        (lambda records: THIRDS[:, :, None], "answered shape [4, 3, 1] for 4 records; it must give [4, 3]"),
        (lambda records: THIRDS.T, "answered shape [3, 4] for 4 records"),
        (lambda records: "busy", "answered str; it must give numbers [records, classes]"),
        (lambda records: None, "answered NoneType; it must give numbers [records, classes]"),
    ],
)
def test_other_answers_are_refused(tmp_path, lie, message):
    """At once, in one line, and nothing is stored of them."""
    FAULTS.append(lie)
    target = box(tmp_path)
    with pytest.raises(RunError) as error:
        target.prepare(Silent())
    assert (
        str(error.value).replace(":answer: ", ":answer ").startswith(f"audit.target.query: {__name__}:answer {message}")
    )
    assert "\n" not in str(error.value)
    assert box(tmp_path).answers.known == {}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("nowhere:f", "audit.target.query: cannot load 'nowhere:f' (ModuleNotFoundError"),
        (f"{__name__}:absent", "(AttributeError"),
        (f"{__name__}:NO_FUNCTION", "is int; give a function of a batch of records"),
    ],
)
def test_functions_that_are_not_there_are_named(tmp_path, query, message):
    """Before anything else is done."""
    with pytest.raises(ConfigError) as error:
        box(tmp_path, query=query)
    assert message in str(error.value)


def test_one_probability_for_two_classes_is_named(tmp_path):
    """Many services give that of class 1 alone: the line says how to give both."""
    target = box(tmp_path)
    target.num_classes = 2
    with pytest.raises(RunError, match=r"a probability per class: 1 - p and p, numpy\.stack\(\[1 - p, p\], axis=1\)"):
        target._checked(np.full(4, 0.5), 4)
