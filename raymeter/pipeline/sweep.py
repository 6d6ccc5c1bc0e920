"""What `raymeter sweep` does: attack settings tried on the stored signals of a finished audit.

Settings are ranked on some targets and the winner is reported on others; `distributed/trials.py` runs them with Ray
Tune.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raymeter.attacks import ATTACKS
from raymeter.config.attack_list import attack_settings
from raymeter.distributed.session import connected, require_cluster
from raymeter.distributed.trial_rows import SweepWork
from raymeter.distributed.trials import run_trials
from raymeter.errors import ConfigError, RunError, SignalError, StoreError
from raymeter.errors.text import one_line
from raymeter.pipeline.console import StageConsole
from raymeter.pipeline.log_notes import log_as_notes
from raymeter.schema.scores import Scores
from raymeter.schema.seeds import seed_for
from raymeter.schema.signals import Signals
from raymeter.signals.stored import StoredAudit, load_signals
from raymeter.stats import dependent_targets
from raymeter.storage.run_lock import LOCK, locked
from raymeter.storage.run_store import RunStore
from raymeter.storage.seals import digest_of_record
from raymeter.sweep.evaluate import RESULTS
from raymeter.sweep.limits import most_references, restrict, rungs
from raymeter.sweep.metric import Metric
from raymeter.sweep.report import SWEEP_WRITERS, sweep_lines
from raymeter.sweep.result import SweepFigures, SweepResult
from raymeter.sweep.sections import SweepConfig
from raymeter.sweep.space import Range, Setting, Subspace, filled, load_sweep, settings_of, subspaces
from raymeter.sweep.target_halves import divide_targets, without_models_of

VERSION = 2


@dataclass(frozen=True)
class DividedSignals:
    """The stored signals of an audit, and how a sweep divides their targets.

    Args:
        stored: As the audit left them.
        ranking: Without the report targets' models: what settings are ranked on.
        selection: Positions of the targets that settings are ranked on.
        report: Positions of the targets that the winner is reported on.
        seed: Of the division and of every draw of records and references.
    """

    stored: StoredAudit
    ranking: Signals
    selection: np.ndarray
    report: np.ndarray
    seed: int

    @property
    def records(self) -> int:
        """How many records were audited."""
        return len(self.ranking.audit["log_prob"].values)

    @property
    def available(self) -> dict[str, int]:
        """How much the settings may use of what can be limited."""
        return {
            "references": most_references(self.ranking, self.selection),
            "queries": self.ranking.audit["log_prob"].values.shape[2],
            "population": len(self.ranking.population["log_prob"].values),
        }


@dataclass(frozen=True)
class PreparedSweep:
    """What a sweep tries, and on what; `settings` is None where a searcher proposes them one by one."""

    divided: DividedSignals
    settings: list[Setting] | None


def prepare_sweep(config: SweepConfig, store: RunStore, console: StageConsole) -> PreparedSweep:
    """Read the signals and find out what cannot be, before a Ray is started.

    Raises:
        RaymeterError: The space, the signals and the sweep that the directory holds do not suit one another.
    """
    with console.stage("Load Signals"):
        divided = _divide(config, load_signals(store))
        settings = None if config.sweep.searcher == "optuna" else settings_of(config)
        _check_space(config, divided.available)
        _check_logits(settings, divided.ranking)
        _check_same(store, config, divided.stored)
        if config.sweep.asha and len(rungs(divided.records)) == 1:
            console.note(
                f"sweep.asha: {divided.records} records are too few for a second rung; no setting is stopped early"
            )
    return PreparedSweep(divided, settings)


def run_sweep(
    config: SweepConfig, store: RunStore, console: StageConsole, prepared: PreparedSweep | None = None
) -> SweepResult:
    """Signals -> settings, tried on the selection targets -> the winner, measured on the report targets."""
    prepared = prepared or prepare_sweep(config, store, console)
    divided = prepared.divided
    with console.stage("Sweep"):
        store.write_sealed(f"{_path(config)}/sweep.json", _about(config, divided.stored))
        rows = _different(run_trials(_work(config, prepared.settings, store, divided), divided.ranking, console))
    with console.stage("Report"):
        result = _report(config, rows, divided, store)
        for writer in SWEEP_WRITERS:
            for name, data in writer(result):
                store.write(f"{_path(config)}/{name}", data)
    return result


def _path(config: SweepConfig) -> str:
    return f"sweep/{config.sweep.name}"


def _divide(config: SweepConfig, stored: StoredAudit) -> DividedSignals:
    seed = seed_for(config.run.random_seed, "sweep")
    selection, report = divide_targets(stored.signals, config.sweep.selection_share, seed)
    return DividedSignals(stored, without_models_of(stored.signals, selection, report), selection, report, seed)


def _work(config: SweepConfig, settings: list[Setting] | None, store: RunStore, divided: DividedSignals) -> SweepWork:
    """Settings in groups that make a trial each; none where a searcher proposes them one by one."""
    section, blocks = config.sweep, None
    if settings is not None:
        size = 1 if section.asha else section.block
        blocks = [settings[start : start + size] for start in range(0, len(settings), size)]
    return SweepWork(
        store=store.uri,
        path=_path(config),
        metric=section.metric,
        selection=divided.selection,
        seed=divided.seed,
        blocks=blocks,
        spaces=subspaces(section),
        samples=section.samples or 0,
        asha=section.asha,
        of=digest_of_record(_about(config, divided.stored)),
    )


def _different(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every setting once, with the most records that it saw: Optuna may propose the same again."""
    row_of: dict[str, dict[str, Any]] = {}
    for row in rows:
        setting = repr({key: value for key, value in row.items() if key not in RESULTS})
        if setting not in row_of or row["records"] > row_of[setting]["records"]:
            row_of[setting] = row
    return list(row_of.values())


def _check_space(config: SweepConfig, available: Mapping[str, int]) -> None:
    """Refuse a space that asks for more than is stored, before anything runs."""
    spaces = subspaces(config.sweep)
    needy = next((space.attack for space in spaces if ATTACKS[space.attack].needs_references), None)
    if available["references"] == 0 and needy is not None:
        raise SignalError(
            f"no reference is left for {needy}: report targets may not judge the targets that settings are selected "
            "on; audit three complementary pairs or more, or change sweep.selection_share"
        )
    remedies = {
        "references": "raise audit.num_ref_models and run the audit again",
        "queries": "add audit.views and run the audit again",
        "population": "raise audit.population_size in an audit of its own",
    }
    for space in spaces:
        for key, limit in available.items():
            choices = space.choices.get(key, ())
            if isinstance(choices, Range) or any(type(value) is not int or value < 1 for value in choices):
                raise ConfigError(f"{space.path}.{key}: expected a list of whole numbers from 1 to {limit}")
            bad = next((value for value in choices if value > limit), None)
            if bad is not None:
                beyond = " for selection targets, which report targets may not judge" if key == "references" else ""
                raise ConfigError(
                    f"{space.path}.{key}: {bad} asked for, the audit has {limit}{beyond}; {remedies[key]}"
                )


def _check_logits(settings: list[Setting] | None, ranking: Signals) -> None:
    """Refuse settings that need logits where there are none."""
    if settings is not None and ranking.audit_logits is None:
        blind = next((s for s in settings if s.attack.needs_logits), None)
        if blind is not None:
            raise ConfigError(
                f"sweep.space: {blind.values['attack']} with these settings needs logits, which this audit did not "
                "keep; run it again with audit.logits=true (models are reused)"
            )


def _about(config: SweepConfig, stored: StoredAudit) -> dict[str, Any]:
    """What decides a sweep's trials."""
    plain = {"sweep": config.sweep.model_dump(mode="json"), "random_seed": config.run.random_seed}
    return {"version": VERSION, **plain, "signals": stored.fingerprint}


def _check_same(store: RunStore, config: SweepConfig, stored: StoredAudit) -> None:
    """Refuse to go on with another sweep of the same name."""
    way_out = f"choose another sweep.name, or delete {store.name}/{_path(config)}"
    before = store.read_sealed(f"{_path(config)}/sweep.json", way_out)
    if before is not None and before != json.loads(json.dumps(_about(config, stored))):
        raise StoreError(
            f"{store.name}/{_path(config)} holds another sweep (other settings, seed, signals or version); choose "
            "another sweep.name, or delete that directory"
        )


def _report(config: SweepConfig, rows: list[dict[str, Any]], divided: DividedSignals, store: RunStore) -> SweepResult:
    """The best setting of the selection targets that the report targets can be attacked with, on both."""
    metric, stored, available = Metric(config.sweep.metric), divided.stored, divided.available
    winner, best, honest, passed_over = _winner(config, rows, divided)

    def scores(setting: Setting, signals: Signals, targets: np.ndarray) -> Scores:
        return setting.attack(restrict(signals, targets, setting.limits, divided.seed))

    def figures(mine: Scores, signals: Signals, targets: np.ndarray) -> tuple[SweepFigures, Scores | None]:
        matrix = stored.signals.audit["log_prob"]
        clusters = dependent_targets(matrix.reference[targets], matrix.targets[targets])
        about = (tuple(matrix.targets[targets].tolist()), tuple(clusters.tolist()), metric.interval(mine, clusters))
        try:
            plain = scores(Setting(type(winner.attack)(), winner.limits, {}), signals, targets)
        except SignalError as error:
            return SweepFigures(*about, None, None, str(error)), None
        return SweepFigures(*about, metric.interval(plain, clusters), metric.gain(mine, plain, clusters)), plain

    selected = scores(winner, divided.ranking, divided.selection)
    of_selection, _ = figures(selected, divided.ranking, divided.selection)
    of_report, default_scores = figures(honest, stored.signals, divided.report)
    keys = list(dict.fromkeys(key for row in rows for key in row if key not in RESULTS))
    return SweepResult(
        name=config.sweep.name,
        metric=metric.name,
        rows=tuple(filled(row, keys, available) for row in rows),
        best=dict(best),
        best_attack=attack_settings(winner.attack),
        passed_over=tuple(passed_over),
        selection=of_selection,
        report=of_report,
        resolvable=metric.resolvable(honest),
        best_scores=honest,
        default_scores=default_scores,
        audit_config={**stored.config, "run": {**stored.config.get("run", {}), "log_dir": store.uri}},
    )


def _winner(
    config: SweepConfig, rows: list[dict[str, Any]], divided: DividedSignals
) -> tuple[Setting, Mapping[str, Any], Scores, list[str]]:
    """Down the ranking to the first setting that works on the report targets; why those above did not."""
    signals, passed_over = divided.stored.signals, []
    whole = [row for row in rows if row["metric"] is not None and row["records"] == divided.records]
    for best in sorted(whole, key=lambda row: -row["metric"]):
        space = next(space for space in subspaces(config.sweep) if _fits(space, best))
        setting = space.setting({key: best[key] for key in space.choices})
        try:
            scores = setting.attack(restrict(signals, divided.report, setting.limits, divided.seed))
        except SignalError as error:
            passed_over.append(f"{dict(setting.values)}: {error}")
            continue
        return setting, best, scores, passed_over
    errors = sorted({row["error"] for row in rows if row["error"]}) or passed_over
    raise RunError(f"no setting could be evaluated; {errors[0] if errors else 'all were stopped early'}")


def _fits(space: Subspace, row: Mapping[str, Any]) -> bool:
    """Whether a row is a point of a part of the space: the same attack, and each value among its choices."""
    if space.attack != row["attack"]:
        return False
    varied = {key for key in row if key not in ("attack", *RESULTS)}
    return varied == set(space.choices) and all(
        choices.low <= row[key] <= choices.high if isinstance(choices, Range) else row[key] in choices
        for key, choices in space.choices.items()
    )


def sweep(config: SweepConfig | str | Path, *, verbose: bool = False) -> SweepResult:
    """Run one sweep, given its configuration or the path of a YAML file; uses a running Ray or starts one."""
    if not isinstance(config, SweepConfig):
        config = load_sweep(config)
    console = StageConsole()
    store = RunStore.at(config.run.log_dir)
    with log_as_notes(console):
        require_cluster(config.cluster)
        prepared = prepare_sweep(config, store, console)
        with ExitStack() as stack:
            stack.enter_context(locked(store, console.note, f"{_path(config)}/{LOCK}"))
            with console.stage("Start Ray"):
                stack.enter_context(connected(config.cluster, verbose))
            result = run_sweep(config, store, console, prepared)
    for line in sweep_lines(result):
        console.console.print(one_line(line), markup=False)
    console.console.print(one_line(f"Results: {store.name}/sweep/{config.sweep.name}"), markup=False)
    return result
