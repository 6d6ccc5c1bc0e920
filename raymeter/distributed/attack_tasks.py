"""Attacks on all targets, spread over Ray tasks that share the stored signals without a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import ray.exceptions
from jaxtyping import Float, Int64

from raymeter.analysis.power_curve import power_curve
from raymeter.attacks import Attack
from raymeter.attacks.common.blocks import block_attack, record_blocks
from raymeter.attacks.common.stand_ins import stand_in_thresholds
from raymeter.distributed.tasks import abandon, root_cause
from raymeter.errors import RaymeterError, RunError
from raymeter.schema.mapped import forget_pages
from raymeter.schema.results import PowerPoint
from raymeter.schema.scores import Scores
from raymeter.schema.selection import select
from raymeter.schema.signals import RECORDS_AT_ONCE, Signals
from raymeter.storage.run_store import RunStore
from raymeter.storage.scratch import scratch_array

# Below this many examples x models x targets an attack is quicker than handing it to other processes.
CELLS_WORTH_A_TASK = 20_000_000
POWER_RECORDS = 200_000
T = TypeVar("T")


def score_all(signals: Signals, attacks: Mapping[str, Attack], store: RunStore | None = None) -> list[Scores]:
    """Every attack on every target, named by its label; on mapped signals in blocks of records.

    Args:
        store: Where scratch files for the scores of mapped signals go; without one they are in memory.
    """
    if signals.mapped:
        return [replace(score_in_blocks(signals, attack, store), attack=label) for label, attack in attacks.items()]
    chunks = _chunks(signals)
    jobs = [partial(_attack_targets, attack=attack, chunk=chunk) for attack in attacks.values() for chunk in chunks]
    parts = iter(spread(signals, jobs))
    return [replace(_join([next(parts) for _ in chunks]), attack=label) for label in attacks]


def score_in_blocks(signals: Signals, attack: Attack, store: RunStore | None, records: int = RECORDS_AT_ONCE) -> Scores:
    """One attack on all targets, a block of records in each task; the same bits as all at once.

    Raises:
        SignalError: The attack needs all records at once.
    """
    job, matrix = block_attack(attack, signals), signals.design
    shape = (len(matrix.targets), len(matrix.values))  # a target's scores lie side by side: statistics go by target
    room = np.empty(shape) if store is None else scratch_array(store, shape, np.float64)
    rows = record_blocks(matrix, records)
    last = None
    for position, part in _in_turn(job, (select(signals, records=block) for block in rows), len(rows)):
        room[:, rows[position]] = part.values.T
        last = part
    for audited in signals.audit.values():
        forget_pages(audited.values)
    forget_pages(room)
    assert last is not None
    everyone = np.array_equal(matrix.targets, np.arange(matrix.member.shape[1]))
    member = matrix.member if everyone else matrix.member[:, matrix.targets]
    return replace(last, values=room.T, member=member, ids=matrix.ids)


def _in_turn(job: Callable[[Signals], Scores], blocks: Iterator[Signals], count: int) -> Iterator[tuple[int, Scores]]:
    """Scores of blocks with their numbers, as they come; no more blocks are in memory than tasks can run."""
    if count == 1:
        yield from enumerate(map(job, blocks))
        return
    task: Any = ray.remote(_call)
    most = max(1, int(ray.cluster_resources().get("CPU", 1)))
    shared, waiting = ray.put(job), enumerate(blocks)
    pending: dict[Any, int] = {}
    try:
        while True:
            while len(pending) < most and (block := next(waiting, None)) is not None:
                pending[task.remote(shared, block[1])] = block[0]
            if not pending:
                return
            (done,), _ = ray.wait(list(pending), num_returns=1)
            yield pending.pop(done), ray.get(done)
    except ray.exceptions.RayError as error:
        abandon(pending)
        raise _as_raised(error) from None


def thresholds_of_all(
    signals: Signals, attacks: Mapping[str, Attack], fprs: Sequence[float]
) -> dict[str, Float[np.ndarray, "targets fprs"]]:
    """For every attack the thresholds that stand-ins suggest for each target, see `stand_in_thresholds`."""
    if signals.mapped:  # stand-ins see few records: not worth sending all of them anywhere
        return {label: stand_in_thresholds(attack, signals, fprs) for label, attack in attacks.items()}
    chunks = _chunks(signals)
    jobs = [
        partial(_thresholds_of_targets, attack=attack, chunk=chunk, fprs=tuple(fprs))
        for attack in attacks.values()
        for chunk in chunks
    ]
    parts = iter(spread(signals, jobs))
    return {label: np.concatenate([next(parts) for _ in chunks]) for label in attacks}


def power_of_all(signals: Signals, attacks: Mapping[str, Attack], seed: int) -> dict[str, tuple[PowerPoint, ...]]:
    """How many references are enough, for every attack that uses any, see `power_curve`.

    Of mapped signals POWER_RECORDS are looked at, evenly spaced.
    """
    if signals.mapped:
        signals = select(signals, records=power_rows(signals))
    asked = {label: attack for label, attack in attacks.items() if attack.needs_references}
    jobs = [partial(_power, attack=attack, seed=seed) for attack in asked.values()]
    return dict(zip(asked, spread(signals, jobs), strict=True))


def power_rows(signals: Signals) -> Int64[np.ndarray, " rows"]:
    """The audited records that the power curve of mapped signals is drawn from."""
    records = len(signals.design.values)
    return np.linspace(0, records - 1, min(POWER_RECORDS, records)).astype(np.int64)


def spread(signals: Signals, jobs: Sequence[Callable[[Signals], T]]) -> list[T]:
    """Results of functions of the signals, in order; in this process where there is little to do."""
    if _cells(signals) < CELLS_WORTH_A_TASK:
        return [job(signals) for job in jobs]
    shared = ray.put(signals)
    task: Any = ray.remote(_call)
    pending = [task.remote(job, shared) for job in jobs]
    try:
        results: list[T] = ray.get(pending)
    except ray.exceptions.RayError as error:
        abandon(pending)
        raise _as_raised(error) from None
    return results


def _as_raised(error: ray.exceptions.RayError) -> RaymeterError:
    """A deliberate error as it was raised in the task, any other in one line."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, RaymeterError):
        return cause
    return RunError(f"an attack could not be computed: {root_cause(error)}")


def _cells(signals: Signals) -> int:
    matrix = signals.design
    return matrix.member.size * len(matrix.targets)


def _chunks(signals: Signals) -> list[Int64[np.ndarray, " chosen"]]:
    """Groups of targets that make a task each."""
    targets = np.arange(len(signals.design.targets))
    if _cells(signals) < CELLS_WORTH_A_TASK:
        return [targets]
    return np.array_split(targets, min(len(targets), max(1, int(ray.cluster_resources().get("CPU", 1)))))


def _call(job: Callable[[Signals], T], signals: Signals) -> T:
    return job(signals)


def _attack_targets(signals: Signals, attack: Attack, chunk: np.ndarray) -> Scores:
    return attack(select(signals, targets=chunk))


def _thresholds_of_targets(signals: Signals, attack: Attack, chunk: np.ndarray, fprs: Sequence[float]) -> np.ndarray:
    thresholds: np.ndarray = stand_in_thresholds(attack, select(signals, targets=chunk), fprs)
    return thresholds


def _power(signals: Signals, attack: Attack, seed: int) -> tuple[PowerPoint, ...]:
    return power_curve(attack, signals, seed)


def _join(parts: Sequence[Scores]) -> Scores:
    """Scores of successive groups of targets -> scores of all."""
    return replace(
        parts[0],
        values=np.concatenate([part.values for part in parts], axis=1),
        member=np.concatenate([part.member for part in parts], axis=1),
        targets=np.concatenate([part.targets for part in parts]),
        settings={
            key: sum((list(part.settings[key]) for part in parts), []) if isinstance(value, list) else value
            for key, value in parts[0].settings.items()
        },
    )
