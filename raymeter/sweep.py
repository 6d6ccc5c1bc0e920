"""Sweeps of attack settings over stored signals: `python -m raymeter.sweep SWEEP.yaml [section.key=value ...]`.

Ray Tune runs blocks of settings as trials; each block writes its results before it reports, so an interrupted
sweep goes on where it was. Settings are ranked on some targets and the winner is reported on others.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune
from ray.tune.search import ConcurrencyLimiter, Searcher

from raymeter.config import attack_settings
from raymeter.console import Reporter, Silent, StageConsole, guarded
from raymeter.errors import ConfigError, RunError, SignalError, StoreError
from raymeter.evaluate import Limits, Metric, divide_targets, evaluate, most_references, restrict, rungs
from raymeter.report.sweeps import SWEEP_WRITERS, sweep_lines
from raymeter.runtime import connected
from raymeter.schema import Scores, Signals, SweepResult
from raymeter.signalstore import load_signals, read_index
from raymeter.split import seed_for
from raymeter.stats import dependent_targets
from raymeter.store import RunStore
from raymeter.sweepspace import Range, Setting, Subspace, SweepConfig, load_sweep, settings_of, subspaces

WORST = 0.0  # what a searcher is told of a setting that failed


def run_sweep(config: SweepConfig, store: RunStore, console: StageConsole) -> SweepResult:
    """Signals -> settings, tried on the selection targets -> the winner, measured on the report targets."""
    with console.stage("Load Signals"):
        stored = load_signals(store)
        signals, seed = stored.signals, seed_for(config.run.random_seed, "sweep")
        _check_space(config, signals)
        selection, report = divide_targets(signals, config.sweep.selection_share, seed)
        path = f"sweep/{config.sweep.name}"
        _claim(store, path, config)
    with console.stage("Sweep"):
        rows = _tried(config, store, path, signals, selection, seed, console)
    with console.stage("Report"):
        result = _report(config, rows, signals, selection, report, seed, stored.config)
        for writer in SWEEP_WRITERS:
            for name, data in writer(result):
                store.write(f"{path}/{name}", data)
    return result


def _check_space(config: SweepConfig, signals: Signals) -> None:
    """Refuse a space that asks for more than is stored, before anything runs."""
    matrix, outside = signals.audit["log_prob"], signals.population["log_prob"]
    there = {
        "references": (most_references(signals), "raise audit.num_ref_models and run the audit again"),
        "queries": (matrix.values.shape[2], "add audit.views and run the audit again"),
        "population": (len(outside.values), "raise audit.population_size in an audit of its own"),
    }
    for space in subspaces(config.sweep):
        for key, (most, remedy) in there.items():
            choices = space.choices.get(key)
            asked = choices if isinstance(choices, tuple) else (choices.high,) if isinstance(choices, Range) else ()
            bad = [value for value in asked if type(value) is not int or not 1 <= value <= most]
            if bad:
                raise ConfigError(f"{space.path}.{key}: {bad[0]} asked for, the audit has {most}; {remedy}")
    if config.sweep.searcher != "optuna":
        needy = next((s for s in settings_of(config) if getattr(s.attack, "needs_logits", False)), None)
        if needy is not None and signals.audit_logits is None:
            raise ConfigError(
                f"sweep.space: {needy.values['attack']} with these settings needs logits, which this audit did not "
                "keep; run it again with audit.logits=true (models are reused)"
            )


def _claim(store: RunStore, path: str, config: SweepConfig) -> None:
    """Refuse to go on with another sweep of the same name."""
    plain = {"sweep": config.sweep.model_dump(mode="json"), "random_seed": config.run.random_seed}
    index = json.dumps(read_index(store), sort_keys=True)
    mine = {**plain, "signals": hashlib.sha256(index.encode()).hexdigest()}
    stored = store.read_json(f"{path}/sweep.json")
    if stored is None:
        store.write_json(f"{path}/sweep.json", mine)
    elif stored != json.loads(json.dumps(mine)):
        raise StoreError(
            f"{store.uri}/{path} holds another sweep (other settings, seed or signals); choose another sweep.name, "
            "or delete that directory"
        )


def _tried(
    config: SweepConfig,
    store: RunStore,
    path: str,
    signals: Signals,
    selection: np.ndarray,
    seed: int,
    console: Reporter,
) -> list[dict[str, Any]]:
    """One row per setting that was tried, from all blocks."""
    blocks = _blocks(config)
    work = {"store": store.uri, "path": path, "metric": config.sweep.metric, "selection": selection, "seed": seed}
    work |= {"blocks": blocks, "asha": config.sweep.asha, "config": config.model_dump(mode="json")}
    total = config.sweep.samples or 0 if blocks is None else len(blocks)
    done = 0 if blocks is None else sum(store.read(_block_path(path, i)) is not None for i in range(total))
    if blocks is None or done < total:
        _tune(config, store, path, signals, work, total, console)
    names = range(total) if blocks is not None else _found_blocks(store, path)
    rows: list[dict[str, Any]] = []
    for name in names:
        data = store.read(_block_path(path, name))
        if data is None:
            raise RunError(f"block {name} of the sweep was not finished; start the same command again to go on")
        rows += json.loads(data)
    return rows


def _blocks(config: SweepConfig) -> list[list[Setting]] | None:
    """Settings in groups that make a trial each; None where a searcher proposes them one by one."""
    if config.sweep.searcher == "optuna":
        return None
    settings = settings_of(config)
    size = 1 if config.sweep.asha else config.sweep.block
    return [settings[start : start + size] for start in range(0, len(settings), size)]


def _tune(
    config: SweepConfig,
    store: RunStore,
    path: str,
    signals: Signals,
    work: dict[str, Any],
    trials: int,
    console: Reporter,
) -> None:
    """Run what is left with Ray Tune, from its own snapshot where there is one."""
    trainable = tune.with_resources(tune.with_parameters(_trial, signals=signals, work=work), {"CPU": 1})
    storage = f"{store.uri}/{path}"
    snapshot = f"{storage}/tune"
    callbacks: list[tune.Callback] = [_Progress(console, trials)]
    run_config = tune.RunConfig(name="tune", storage_path=storage, verbose=0, callbacks=callbacks)
    if tune.Tuner.can_restore(snapshot):
        # Tune unpickles its snapshot; it is read from this run directory alone
        tuner = tune.Tuner.restore(snapshot, trainable=trainable, resume_unfinished=True, restart_errored=True)
        inner: Any = tuner._local_tuner
        inner._run_config.callbacks, inner._run_config.verbose = callbacks, 0  # a restored tuner forgets them
    else:
        tuner = tune.Tuner(
            trainable,
            param_space={} if work["blocks"] is None else {"block": tune.grid_search(list(range(trials)))},
            tune_config=tune.TuneConfig(
                metric="metric",
                mode="max",
                num_samples=trials if work["blocks"] is None else 1,
                search_alg=_optuna(config) if work["blocks"] is None else None,
                scheduler=_asha(signals) if config.sweep.asha else None,
                reuse_actors=True,
            ),
            run_config=run_config,
        )
    results = tuner.fit()
    if results.num_errors:
        reason = (str(results.errors[0]).strip().splitlines() or [""])[-1]
        raise RunError(
            f"{results.num_errors} of {trials} trials ended early ({reason}); start the command again to go on"
        )


def _trial(config: dict[str, Any], signals: Signals, work: dict[str, Any]) -> None:
    """Evaluate a block of settings, write its rows, report the best."""
    store, metric = RunStore(work["store"]), Metric(work["metric"])
    if work["blocks"] is None:
        spaces = subspaces(SweepConfig.model_validate(work["config"]).sweep)
        settings = [_proposed(spaces, config)]
        name: int | str = tune.get_context().get_trial_id()
    else:
        name = config["block"]
        settings = work["blocks"][name]
    records = len(signals.audit["log_prob"].values)
    for size in rungs(records) if work["asha"] else [records]:
        rows = _stored_rows(store, _block_path(work["path"], name), size)
        if not rows:
            rows = [_row(setting, signals, work, metric, size) for setting in settings]
            store.write(_block_path(work["path"], name), json.dumps(rows).encode())
        best = max((row["metric"] for row in rows if row["metric"] is not None), default=WORST)
        tune.report({"metric": best, "settings": len(rows), "records": size})


def _stored_rows(store: RunStore, path: str, records: int) -> list[dict[str, Any]]:
    """Rows that an interrupted sweep left for this block, on that many records or more; else none."""
    data = store.read(path)
    rows: list[dict[str, Any]] = [] if data is None else json.loads(data)
    return rows if rows and all(row["records"] >= records for row in rows) else []


def _row(setting: Setting, signals: Signals, work: dict[str, Any], metric: Metric, records: int) -> dict[str, Any]:
    """What came of one setting; an error is recorded and ends nothing."""
    start = time.perf_counter()
    limits = replace(setting.limits, records=records)
    row: dict[str, Any] = {**setting.values, "metric": None, "sd": None, "records": records, "error": None}
    try:
        found = evaluate(setting.attack, signals, work["selection"], limits, metric, work["seed"])
        row |= {"metric": float(found.mean()), "sd": float(found.std(ddof=1)) if len(found) > 1 else 0.0}
    except SignalError as error:
        row["error"] = str(error)
    return {**row, "seconds": time.perf_counter() - start}


class _Progress(tune.Callback):
    """Tells how many trials are done, and the best setting's metric so far."""

    def __init__(self, console: Reporter, trials: int) -> None:
        self.console, self.trials, self.done, self.best = console, trials, 0, WORST

    def __getstate__(self) -> dict[str, Any]:
        """For Tune's snapshot: a terminal cannot be stored, and a restored sweep gets a new one."""
        return {**self.__dict__, "console": Silent()}

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        self.best = max(self.best, result.get("metric", WORST))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.done += 1
        self.console.progress(self.done, self.trials, f"trials, best {self.best:.4f}")


@dataclass(frozen=True)
class _Proposal:
    """Optuna's way through the space: an attack first, then what that attack has. Stored with Tune's snapshot."""

    spaces: tuple[Subspace, ...]

    def __call__(self, trial: Any) -> None:
        entry = trial.suggest_categorical("entry", list(range(len(self.spaces))))
        for key, choices in self.spaces[entry].choices.items():
            name = f"{entry}:{key}"  # Tune takes a slash for a level
            if isinstance(choices, Range):
                trial.suggest_float(name, choices.low, choices.high, log=choices.kind == "loguniform")
            else:
                trial.suggest_categorical(name, list(choices))


def _optuna(config: SweepConfig) -> Searcher:
    """Optuna through Ray Tune; as many proposals at once as there are CPUs."""
    if importlib.util.find_spec("optuna") is None:
        raise ConfigError('sweep.searcher: optuna is not installed; pip install "raymeter[sweep]"')
    from ray.tune.search.optuna import OptunaSearch

    proposal = _Proposal(tuple(subspaces(config.sweep)))
    searcher = OptunaSearch(space=proposal, metric="metric", mode="max", seed=config.run.random_seed)
    return ConcurrencyLimiter(searcher, max_concurrent=max(1, int(ray.cluster_resources().get("CPU", 1))))


def _proposed(spaces: Sequence[Subspace], config: Mapping[str, Any]) -> Setting:
    entry = int(config["entry"])
    return spaces[entry].setting({key: config[f"{entry}:{key}"] for key in spaces[entry].choices})


def _asha(signals: Signals) -> tune.schedulers.ASHAScheduler:
    steps = len(rungs(len(signals.audit["log_prob"].values)))
    return tune.schedulers.ASHAScheduler(max_t=max(2, steps), grace_period=1, reduction_factor=3)


def _block_path(path: str, name: int | str) -> str:
    return f"{path}/blocks/{name}.json"


def _found_blocks(store: RunStore, path: str) -> list[str]:
    return sorted(Path(name).stem for name in store.list(f"{path}/blocks") if name.endswith(".json"))


def _report(
    config: SweepConfig,
    rows: list[dict[str, Any]],
    signals: Signals,
    selection: np.ndarray,
    report: np.ndarray,
    seed: int,
    audited: dict[str, Any],
) -> SweepResult:
    """Rank on the selection targets; measure the winner, and its attack's defaults, on the report targets."""
    metric = Metric(config.sweep.metric)
    records = len(signals.audit["log_prob"].values)
    whole = [row for row in rows if row["metric"] is not None and row["records"] == records]
    if not whole:
        errors = sorted({row["error"] for row in rows if row["error"]})
        raise RunError(f"no setting could be evaluated; {errors[0] if errors else 'all were given up early'}")
    best = max(whole, key=lambda row: row["metric"])
    space = next(space for space in subspaces(config.sweep) if _fits(space, best))
    winner = space.setting({key: best[key] for key in space.choices})
    plain = type(winner.attack)()

    def scores(setting: Setting, targets: np.ndarray) -> Scores:
        return setting.attack(restrict(signals, targets, setting.limits, seed))

    def clusters(targets: np.ndarray) -> np.ndarray:
        return dependent_targets(matrix.reference[targets], matrix.targets[targets])

    matrix = signals.audit["log_prob"]
    honest, default = scores(winner, report), scores(Setting(plain, Limits(), {}), report)
    return SweepResult(
        name=config.sweep.name,
        metric=metric.name,
        rows=tuple(rows),
        best=dict(best),
        best_attack=attack_settings(winner.attack),
        optimistic=metric.interval(scores(winner, selection), clusters(selection)),
        honest=metric.interval(honest, clusters(report)),
        default=metric.interval(default, clusters(report)),
        best_scores=honest,
        default_scores=default,
        selection_targets=tuple(matrix.targets[selection].tolist()),
        report_targets=tuple(matrix.targets[report].tolist()),
        report_clusters=tuple(clusters(report).tolist()),
        audit_config=audited,
    )


def _fits(space: Subspace, row: Mapping[str, Any]) -> bool:
    """Whether a row is a point of a part of the space: the same attack, and each value among its choices."""
    if space.attack != row["attack"]:
        return False
    mine = {key for key in row if key not in ("attack", "metric", "sd", "records", "error", "seconds")}
    return mine == set(space.choices) and all(
        choices.low <= row[key] <= choices.high if isinstance(choices, Range) else row[key] in choices
        for key, choices in space.choices.items()
    )


def sweep(config: SweepConfig | str | Path, *, verbose: bool = False) -> SweepResult:
    """Run one sweep, given its configuration or the path of a YAML file; uses a running Ray or starts one."""
    if not isinstance(config, SweepConfig):
        config = load_sweep(config)
    console = StageConsole()
    store = RunStore.at(config.run.log_dir)
    read_index(store)  # what is missing shows before a Ray is started
    with connected(config.cluster, verbose):
        result = run_sweep(config, store, console)
    for line in sweep_lines(result):
        console.console.print(line, markup=False)
    console.console.print(f"Results: {store.uri}/sweep/{config.sweep.name}", markup=False)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="python -m raymeter.sweep", description="Try attack settings on the stored signals of a finished audit."
    )
    parser.add_argument("config", metavar="CONFIG", help="YAML file, see docs/sweeps.md")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="override a key of the file")
    parser.add_argument("--verbose", action="store_true", help="show what Ray says")
    options = parser.parse_intermixed_args(argv)

    def command() -> int:
        sweep(load_sweep(options.config, options.overrides), verbose=options.verbose)
        return 0

    return guarded(command)


if __name__ == "__main__":
    sys.exit(main())
