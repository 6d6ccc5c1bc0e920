"""Attacks on all targets, spread over Ray tasks that share the stored signals without a copy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import ray
import ray.exceptions
from jaxtyping import Float, Int64

from raymeter.attacks import Attack
from raymeter.attacks.tuning import stand_in_thresholds
from raymeter.errors import RaymeterError, RunError
from raymeter.power import power_curve
from raymeter.runtime import abandon, root_cause
from raymeter.schema import PowerPoint, Scores, SignalMatrix, Signals

# Below this many examples x models x targets an attack is quicker than handing it to other processes.
CELLS_WORTH_A_TASK = 20_000_000
T = TypeVar("T")


def score_all(signals: Signals, attacks: Mapping[str, Attack]) -> list[Scores]:
    """Every attack on every target, named by its label."""
    chunks = _chunks(signals)
    jobs = [partial(_attack_targets, attack=attack, chunk=chunk) for attack in attacks.values() for chunk in chunks]
    parts = iter(spread(signals, jobs))
    return [replace(_join([next(parts) for _ in chunks]), attack=label) for label in attacks]


def thresholds_of_all(
    signals: Signals, attacks: Mapping[str, Attack], fprs: Sequence[float]
) -> dict[str, Float[np.ndarray, "targets fprs"]]:
    """For every attack the thresholds that stand-ins suggest for each target, see `stand_in_thresholds`."""
    chunks = _chunks(signals)
    jobs = [
        partial(_thresholds_of_targets, attack=attack, chunk=chunk, fprs=tuple(fprs))
        for attack in attacks.values()
        for chunk in chunks
    ]
    parts = iter(spread(signals, jobs))
    return {label: np.concatenate([next(parts) for _ in chunks]) for label in attacks}


def power_of_all(signals: Signals, attacks: Mapping[str, Attack], seed: int) -> dict[str, tuple[PowerPoint, ...]]:
    """How many references are enough, for every attack that uses any, see `power_curve`."""
    asked = {label: attack for label, attack in attacks.items() if getattr(attack, "needs_references", True)}
    jobs = [partial(_power, attack=attack, seed=seed) for attack in asked.values()]
    return dict(zip(asked, spread(signals, jobs), strict=True))


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
        cause = getattr(error, "cause", None)
        if isinstance(cause, RaymeterError):
            raise cause from None  # as if it had been raised here
        raise RunError(f"an attack could not be computed: {root_cause(error)}") from error
    return results


def narrow(signals: Signals, chunk: Int64[np.ndarray, " chosen"]) -> Signals:
    """The same signals with some of the targets; predictions stay, for references attacked in a target's place."""

    def matrix(found: SignalMatrix) -> SignalMatrix:
        return replace(found, reference=found.reference[chunk], targets=found.targets[chunk])

    return replace(
        signals,
        audit={kind: matrix(found) for kind, found in signals.audit.items()},
        population={kind: matrix(found) for kind, found in signals.population.items()},
    )


def _cells(signals: Signals) -> int:
    matrix = next(iter(signals.audit.values()))
    return matrix.member.size * len(matrix.targets)


def _chunks(signals: Signals) -> list[Int64[np.ndarray, " chosen"]]:
    """Groups of targets that make a task each."""
    targets = np.arange(len(next(iter(signals.audit.values())).targets))
    if _cells(signals) < CELLS_WORTH_A_TASK:
        return [targets]
    return np.array_split(targets, min(len(targets), max(1, int(ray.cluster_resources().get("CPU", 1)))))


def _call(job: Callable[[Signals], T], signals: Signals) -> T:
    return job(signals)


def _attack_targets(signals: Signals, attack: Attack, chunk: np.ndarray) -> Scores:
    return attack(narrow(signals, chunk))


def _thresholds_of_targets(signals: Signals, attack: Attack, chunk: np.ndarray, fprs: Sequence[float]) -> np.ndarray:
    found: np.ndarray = stand_in_thresholds(attack, narrow(signals, chunk), fprs)
    return found


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
