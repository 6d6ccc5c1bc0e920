"""A target that can only be asked: batches of records go to the user's function, probabilities come back.

A record is paid for once: what has been answered is never asked again, whatever happened in between (`answers.py`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch.nn import functional as F

from raymeter.config.sections import QueryTarget
from raymeter.config.user_functions import load_function
from raymeter.errors import ConfigError, DataError, RunError, StoreError, exit_refused
from raymeter.schema.dataset import Dataset, LazyRecords, some_records
from raymeter.schema.model_record import ModelRecord
from raymeter.schema.plain_arrays import plain_array
from raymeter.schema.reporter import Reporter
from raymeter.schema.signals import View
from raymeter.schema.split import Split
from raymeter.signals.compute import logit_gap
from raymeter.signals.targets.answers import Answers, first_of_each, record_keys
from raymeter.signals.targets.limited_call import LimitedCall, is_final, line_of
from raymeter.signals.targets.protocol import AnswerColumns, Part, accuracy_line, as_model, is_member
from raymeter.storage.run_store import RunStore

SMALLEST = 1e-12  # probabilities below count as this: an answer of 0 has no logarithm
SUM_TOLERANCE = 1e-3  # of the probabilities of a record, which many services round
LONGEST_PAUSE = 30.0  # seconds between two attempts
NAMED = 3  # lost files that are named
HELD_RECORDS = 10_000  # that are prepared for asking at a time


class BlackBox:
    """Asks a function about records, with patience, a limit of calls, a budget, and a memory of every answer.

    Args:
        asked: Which function, how it may be asked, and for how many records.
        views: Of every record; each is sent.
        limit: Bytes; streamed records that take more stay in their files.
        dataset: The records.
        split: Which of them are audited, and the target as its last model.
        store: The run directory, where answers are kept.
    """

    def __init__(
        self,
        asked: QueryTarget,
        views: Sequence[View],
        limit: int,
        dataset: Dataset,
        split: Split,
        store: RunStore,
    ) -> None:
        self.asked, self.dataset, self.split = asked, dataset, split
        self.views, self.num_classes, self.limit = views, dataset.num_classes, limit
        function = load_function("audit.target.query", asked.query, "of a batch of records")
        self.function = LimitedCall(function, asked.timeout)
        self.about: dict[str, Any] = {"query": asked.query}
        self.answers, self.next_call = Answers(store, asked.query, self.num_classes), 0.0

    def check(self, reporter: Reporter) -> None:
        """See that the budget is enough for all records that are not known; nothing is asked.

        Raises:
            ConfigError: It is not.
            StoreError: There is a budget, and how much of it is spent is not known any more.
        """
        self._first_batch(reporter)

    def prepare(self, reporter: Reporter) -> None:
        """Check, and see by the first batch that the function answers as it should.

        Raises:
            ConfigError, StoreError: As `check`.
            RunError: The function fails or answers something else.
        """
        first, wanted = self._first_batch(reporter)
        if first is not None:
            self._ask(first, wanted)

    def _first_batch(self, reporter: Reporter) -> tuple[np.ndarray | None, int]:
        """Records that are not known, as many as go with one call, and how many there are in all."""
        audited = some_records(self.dataset.x, self.split.audit_ids, self.limit)
        outside = some_records(self.dataset.population_x, self.split.population_ids, self.limit)
        first, wanted, seen = None, 0, set(self.answers.known)
        for inputs in (inputs for x in (audited, outside) for _, _, inputs in self._chunks(x)):
            new = first_of_each(inputs, seen)
            if len(new) and first is None:
                first = inputs[new[: self.asked.batch_size]]
            wanted += len(new)
            seen |= set(record_keys(inputs))
        self._say_what_is_stored(reporter)
        if problem := self._beyond_budget(wanted, wanted):
            raise ConfigError(problem)
        if first is not None:
            reporter.note(f"asking {self.asked.query} about {wanted} records, {self.asked.batch_size} at a time")
        return first, wanted

    def _say_what_is_stored(self, reporter: Reporter) -> None:
        answers, query = self.answers, self.asked.query
        if answers.known:
            reporter.note(f"{len(answers.known)} answers of {query} are stored and are reused")
        if answers.lost:
            first = ", ".join(f"{number}.npz" for number in answers.lost[:NAMED])
            more = f" and {len(answers.lost) - NAMED} more" if len(answers.lost) > NAMED else ""
            reporter.note(
                f"files of stored answers are missing or damaged in {answers.place}: {first}{more}; records that they "
                "held and that are needed are asked about, and paid for, once more"
            )
        if not answers.uncertain:
            return
        problem = (
            f"{answers.store.name}/{answers.place}/sent.json is missing or was altered, so it is not known how many "
            f"records were sent ({answers.sent} at least)"
        )
        if self.asked.max_queries is not None:
            raise StoreError(
                f"{problem}; put it back, leave audit.target.max_queries out, or choose another run.log_dir"
            )
        reporter.note(problem)

    def answer(self, parts: Sequence[Part], reporter: Reporter) -> tuple[ModelRecord, AnswerColumns]:
        """See Target.

        Raises:
            RunError: The budget is spent, or the function fails or answers something else; what was answered is kept.
        """
        total = len(self.views) * sum(len(x) for _, x, _ in parts)
        digest, done = hashlib.sha256(), 0
        columns: AnswerColumns = {}
        for part, x, y in parts:
            probabilities = np.empty((len(x), len(self.views), self.num_classes), dtype=np.float32)
            for query, rows, inputs in self._chunks(x):
                probabilities[rows, query] = self._answers(inputs)
                done += len(inputs)
                reporter.progress(done, total, "queries")
            digest.update(probabilities.data)
            columns["logits", part] = logits = np.log(np.maximum(probabilities, SMALLEST))
            columns["signals", part] = _signals(logits, y)
        member, y = is_member(self.split), parts[0][2]
        right = columns["logits", parts[0][0]][:, 0].argmax(axis=1) == y
        correct = {"members": float(right[member].mean()), "others": float(right[~member].mean())}
        reporter.note(accuracy_line(correct, self.num_classes))
        self.about |= {"sha256": digest.hexdigest(), "accuracy": correct, "records_sent": self.answers.sent}
        return as_model(self.split, self.about), columns

    def _chunks(self, x: np.ndarray | LazyRecords) -> Iterator[tuple[int, slice, np.ndarray]]:
        """Query, range and what is sent, by whole batches, few enough to hold at once."""
        step = self.asked.batch_size * max(1, HELD_RECORDS // self.asked.batch_size)
        for query, view in enumerate(self.views):
            for start in range(0, len(x), step):
                rows = slice(start, start + step)
                yield query, rows, np.ascontiguousarray(x[rows] if view == "identity" else x[rows][..., ::-1])

    def _answers(self, inputs: np.ndarray) -> Float32[np.ndarray, "records classes"]:
        """Probabilities of every record; asks for those that are not known."""
        new = first_of_each(inputs, self.answers.known)
        for start in range(0, len(new), self.asked.batch_size):
            self._ask(inputs[new[start : start + self.asked.batch_size]], len(new) - start)
        return self.answers.of(inputs)

    def _ask(self, batch: np.ndarray, wanted: int) -> None:
        """Ask about one batch until it is answered, and keep the answer."""
        query, attempts, error = self.asked.query, self.asked.attempts, None
        for attempt in range(attempts):
            if beyond := self._beyond_budget(len(batch), wanted):
                raise RunError(beyond)
            self._wait()
            self.answers.count_sent(len(batch))
            try:
                with exit_refused(RunError, f"audit.target.query: {query}"):
                    answer = self.function(batch.copy())
            except RunError:
                raise
            except Exception as problem:  # a user's function, and what it speaks with, can fail in any way
                error = problem
                if is_final(problem):
                    raise RunError(
                        f"audit.target.query: {query} was refused, or is at fault ({line_of(problem)}), which asking "
                        "again does not change; mend it, its address or its key: answers so far are kept"
                    ) from None
                if attempt + 1 < attempts:
                    time.sleep(min(LONGEST_PAUSE, 0.5 * 2**attempt))
                continue
            self.answers.keep(batch, self._checked(answer, len(batch)))
            return
        line = "" if error is None else line_of(error)
        raise RunError(
            f"audit.target.query: {query} failed {attempts} times in a row ({line}); answers so far are kept: start "
            "the same command again, or raise audit.target.attempts"
        )

    def _beyond_budget(self, now: int, wanted: int) -> str:
        """Why so many records may not be sent now; empty where they may."""
        limit, sent = self.asked.max_queries, self.answers.sent
        if limit is None or sent + now <= limit:
            return ""
        return (
            f"audit.target.max_queries: {limit} records may be sent, {sent} were, and {wanted} are still to "
            f"be; raise it to {sent + wanted} or more, or audit fewer (audit.data_size, audit.population_size)"
        )

    def _wait(self) -> None:
        rate = self.asked.calls_per_second
        if rate is not None:
            time.sleep(max(0.0, self.next_call - time.monotonic()))
            self.next_call = time.monotonic() + 1 / rate

    def _checked(self, answer: Any, records: int) -> Float32[np.ndarray, "records classes"]:
        """The answer as an array.

        Raises:
            RunError: It is not a probability per class for every record.
        """
        name = f"audit.target.query: {self.asked.query}"
        try:
            given = plain_array(answer, "the answer")
        except DataError as error:
            raise RunError(f"{name}: {error}; it must give numbers [records, classes]") from None
        if given.dtype.kind not in "fiub":
            what = type(answer).__name__ if given.ndim == 0 else f"{given.dtype} {list(given.shape)}"
            raise RunError(f"{name} answered {what}; it must give numbers [records, classes]")
        values = given.astype(np.float64)
        if values.shape != (records, self.num_classes):
            single = self.num_classes == 2 and values.shape in ((records,), (records, 1))
            both = ": 1 - p and p, numpy.stack([1 - p, p], axis=1) with p of shape [records]" if single else ""
            raise RunError(
                f"{name} answered shape {list(values.shape)} for {records} records; it must give "
                f"[{records}, {self.num_classes}], a probability per class{both}"
            )
        sums = values.sum(axis=1)
        bad = ~np.isfinite(values).all(axis=1) | (values < -SUM_TOLERANCE).any(axis=1) | (abs(sums - 1) > SUM_TOLERANCE)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            low, high = values[row].min(), values[row].max()
            raise RunError(
                f"{name} answered no probabilities for {int(bad.sum())} of {records} records: the first has values "
                f"from {low:.4g} to {high:.4g} with sum {sums[row]:.4g}; give softmax(logits), and divide rounded "
                "values by their sum"
            )
        return np.clip(values, 0.0, 1.0).astype(np.float32)


def _signals(logits: Float32[np.ndarray, "records queries classes"], y: np.ndarray) -> np.ndarray:
    labels = torch.from_numpy(np.ascontiguousarray(y))
    gaps = [
        logit_gap(torch.from_numpy(np.ascontiguousarray(logits[:, query])), labels) for query in range(logits.shape[1])
    ]
    gap = torch.stack(gaps, dim=1)
    values: np.ndarray = torch.stack([F.logsigmoid(gap), gap]).numpy()
    return values
