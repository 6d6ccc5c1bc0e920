"""Ray Tune over the settings of a sweep: blocks of settings as trials, Optuna's proposals, ASHA over records.

Every trial writes its rows to <log_dir>/sweep/<name>/blocks before it reports, so a sweep that is interrupted goes on
with what is left: of a grid or of random settings the blocks that have no file. With Optuna or ASHA, whose searcher and
scheduler have a memory, it begins again, and every trial whose rows are there answers at once: Tune's own snapshot is a
pickle, and is never read.
"""

from __future__ import annotations

import gc
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.tune.search import ConcurrencyLimiter, Searcher

from raymeter.distributed.trial_rows import (
    WORST,
    SweepWork,
    best_metric,
    computed_rows,
    name_of_proposal,
    records_of,
    store_rows,
    stored_rows,
)
from raymeter.errors import ConfigError, RunError, StoreError
from raymeter.schema.reporter import Reporter, Silent
from raymeter.schema.signals import Signals
from raymeter.storage.addresses import is_remote
from raymeter.storage.buckets import open_place
from raymeter.storage.run_store import RunStore
from raymeter.sweep.limits import rungs
from raymeter.sweep.space import Range, Subspace

FAILURES = 3  # of a trial, such as a worker that was killed, before the sweep ends
KEPT = 3  # ASHA gives all but one in so many up at each rung
# Read by Tune when it runs, also on a Ray that was there before. Its own handler would end a sweep that is interrupted
# as if it were done.
ENVIRONMENT = {"TUNE_DISABLE_SIGINT_HANDLER": "1", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}


def run_trials(work: SweepWork, signals: Signals, console: Reporter) -> list[dict[str, Any]]:
    """One row per setting, computed where there is none yet.

    Args:
        signals: As settings are ranked on them.

    Raises:
        RunError: Trials failed again and again.
        StoreError: A stored block of a finished sweep is damaged.
    """
    store = RunStore(work.store)
    if work.has_memory:
        finished = _finished(store, work)
        if finished is None:
            finished = {"trials": _tune(work, None, signals, console)}
            store.write_sealed(f"{work.path}/finished.json", finished)
        trials = finished.get("trials")
        if not isinstance(trials, list) or not trials or not all(isinstance(name, str) for name in trials):
            raise _damaged(store, work, "finished.json")
        names: Sequence[int | str] = _in_order(trials)
    else:
        names = range(work.trials)
        there = {name: rows for name in names if (rows := stored_rows(store, work, name)) is not None}
        if len(there) < work.trials:
            best = max((best_metric(rows) for rows in there.values()), default=WORST)
            _tune(work, [name for name in names if name not in there], signals, console, best)
    blocks = [(name, stored_rows(store, work, name)) for name in names]
    lost = next((name for name, rows in blocks if rows is None), None)
    if lost is not None:
        raise _damaged(store, work, f"blocks/{lost}.json")
    return [row for _, rows in blocks if rows is not None for row in rows]


def _finished(store: RunStore, work: SweepWork) -> dict[str, Any] | None:
    """What says that all trials of a sweep with a memory are done; None where it is missing or damaged."""
    try:
        return store.read_sealed(f"{work.path}/finished.json", "")
    except StoreError:
        return None


def _damaged(store: RunStore, work: SweepWork, file: str) -> StoreError:
    where = f"{store.name}/{work.path}"
    return StoreError(f"{where}/{file} is missing or damaged; delete {where} and start the sweep again")


def _tune(
    work: SweepWork, missing: Sequence[int | str] | None, signals: Signals, console: Reporter, best: float = WORST
) -> list[str]:
    """Run what is left with Ray Tune; returns the names of all trials. `best` is the best so far."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    trainable = tune.with_resources(tune.with_parameters(_trial, signals=signals, work=work), {"CPU": 1})
    filesystem, root = open_place(work.store) if is_remote(work.store) else (None, work.store)
    storage = f"{root}/{work.path}"
    done = 0 if missing is None else work.trials - len(missing)
    progress = _Progress(console, work.trials, records_of(signals), done, best)
    names = range(work.trials) if missing is None else missing
    tuner = tune.Tuner(
        trainable,
        param_space={} if work.blocks is None else {"block": tune.grid_search(list(names))},
        tune_config=tune.TuneConfig(
            metric="metric",
            mode="max",
            num_samples=work.trials if work.blocks is None else 1,
            search_alg=_optuna(work) if work.blocks is None else None,
            scheduler=_asha(signals) if work.asha else None,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=storage,
            storage_filesystem=filesystem,
            verbose=0,
            callbacks=[progress],
            failure_config=tune.FailureConfig(max_failures=FAILURES),
        ),
    )
    results = _run(tuner)
    if results.num_errors:
        reason = (str(results.errors[0]).strip().splitlines() or [""])[-1]
        raise RunError(
            f"{results.num_errors} of {work.trials} trials ended early ({reason}); start the command again to go on"
        )
    if work.blocks is not None:
        return [str(name) for name in range(work.trials)]
    proposed = [results[number].config for number in range(len(results))]
    return sorted(name_of_proposal(config) for config in proposed if config)


def _run(tuner: tune.Tuner) -> tune.ResultGrid:
    """Run all trials; an interrupt leaves no trial on a Ray that was there before."""
    try:
        return tuner.fit()
    except KeyboardInterrupt:
        pass
    gc.collect()  # what Tune's frames held: its actors, and the CPUs that it had reserved
    raise KeyboardInterrupt


def _trial(config: dict[str, Any], signals: Signals, work: SweepWork) -> None:
    """Evaluate a block of settings, write its rows, report the best."""
    store = RunStore(work.store)
    name: int | str = name_of_proposal(config) if work.blocks is None else config["block"]
    records = records_of(signals)
    for step, size in enumerate(rungs(records) if work.asha else [records]):
        rows = stored_rows(store, work, name)
        if rows is None or any(row["records"] < size for row in rows):
            rows = computed_rows(work, config, signals, size)
            store_rows(store, work, name, rows)
        tune.report({"metric": best_metric(rows), "settings": len(rows), "records": size, "rung": KEPT**step})


def _in_order(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: (int(name) if name.isdigit() else -1, name))


class _Progress(tune.Callback):
    """Shows how many trials are done, and the best setting's metric so far."""

    def __init__(self, console: Reporter, trials: int, records: int, done: int, best: float) -> None:
        self.console, self.trials, self.records, self.done, self.best = console, trials, records, done, best

    def __getstate__(self) -> dict[str, Any]:
        """For Tune's snapshot, which nobody reads: a terminal cannot be stored."""
        return {**self.__dict__, "console": Silent()}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        if result["records"] == self.records:  # fewer, as on a rung of ASHA, cannot win
            self.best = max(self.best, result["metric"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.done += 1
        self.console.progress(self.done, self.trials, f"trials, best {self.best:.4f}")


@dataclass(frozen=True)
class _Proposal:
    """Optuna's way through the space: an attack first, then what that attack has. Tune stores it."""

    spaces: tuple[Subspace, ...]

    def __call__(self, trial: Any) -> None:
        entry = trial.suggest_categorical("entry", list(range(len(self.spaces))))
        for key, choices in self.spaces[entry].choices.items():
            name = f"{entry}:{key}"  # Tune takes a slash for a level
            if isinstance(choices, Range):
                trial.suggest_float(name, choices.low, choices.high, log=choices.kind == "loguniform")
            else:
                trial.suggest_categorical(name, list(choices))


def _optuna(work: SweepWork) -> Searcher:
    """Optuna through Ray Tune; as many proposals at once as there are CPUs."""
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError('sweep.searcher: optuna is not installed; pip install "raymeter[sweep]"')
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    searcher = OptunaSearch(space=_Proposal(tuple(work.spaces)), metric="metric", mode="max", seed=work.seed % 2**31)
    return ConcurrencyLimiter(searcher, max_concurrent=max(1, int(ray.cluster_resources().get("CPU", 1))))


def _asha(signals: Signals) -> tune.schedulers.ASHAScheduler:
    """Every number of records is a rung: `rung` grows as ASHA's own steps do."""
    steps = len(rungs(len(signals.audit["log_prob"].values)))
    return tune.schedulers.ASHAScheduler(time_attr="rung", max_t=KEPT**steps, grace_period=1, reduction_factor=KEPT)
