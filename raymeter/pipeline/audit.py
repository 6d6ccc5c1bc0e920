"""A whole audit on one screen: data, reference models, signals, attacks, report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from raymeter.analysis.odd_models import odd_models
from raymeter.analysis.record_exposure import most_exposed, record_columns
from raymeter.analysis.result import FPRS, audit_result, main_label, with_model_numbers
from raymeter.config.load import AuditConfig, build_config, load_config
from raymeter.data import load_dataset
from raymeter.data.groups import load_groups
from raymeter.distributed.attack_tasks import power_of_all, score_all, thresholds_of_all
from raymeter.distributed.job_upload import will_be_lost
from raymeter.distributed.regressors import add_predictions
from raymeter.distributed.session import connected, describe_cluster, is_stopped, require_cluster, starts_its_own
from raymeter.distributed.signals.collect import collect_signals
from raymeter.distributed.training.train_references import HISTORY, attempts, train_references
from raymeter.pipeline.checks import check_fit, make_audit_split, without_missing_models
from raymeter.pipeline.code_check import check_code
from raymeter.pipeline.console import StageConsole
from raymeter.pipeline.disk_room import check_disk_room
from raymeter.pipeline.foreign_target import about_target, find_target
from raymeter.pipeline.log_notes import log_as_notes
from raymeter.pipeline.provenance import identity, provenance, timeline
from raymeter.pipeline.stage_settings import regression, signal_plan
from raymeter.report.terminal import console_table
from raymeter.report.verdict import remarks, verdict
from raymeter.report.write import WRITERS, write_report
from raymeter.schema.dataset import Dataset
from raymeter.schema.origins import origins_of
from raymeter.schema.results import AuditResult, BlindResult
from raymeter.schema.seeds import seed_for
from raymeter.schema.signals import Signals
from raymeter.schema.split import Split
from raymeter.signals.frame import keep_columns
from raymeter.signals.records import gather_records
from raymeter.signals.targets.protocol import Target
from raymeter.storage.code_book import CodeBook
from raymeter.storage.model_store import ModelStore
from raymeter.storage.run_lock import locked
from raymeter.storage.run_store import IDENTITY, RunStore
from raymeter.storage.witnesses import restored_identity

Config: TypeAlias = AuditConfig | Mapping[str, Any] | str | Path


@dataclass(frozen=True)
class Prepared:
    """What an audit is of: its records, its design, a target of the user's, and what decides its models."""

    dataset: Dataset
    split: Split
    target: Target | None
    identity: Mapping[str, Any]


def prepare(config: AuditConfig, store: RunStore, console: StageConsole) -> Prepared:
    """Read the data and find out what cannot be, before a Ray is started and before the run directory is this audit's.

    Raises:
        RaymeterError: The configuration, the data, the run directory or the target do not suit one another.
    """
    with console.stage("Load Dataset"):
        dataset = load_dataset(config.data_spec())
        split = make_audit_split(config, dataset)
        check_fit(config, dataset, split)
        check_disk_room(config, dataset, split, store)
        code = check_code(config, dataset.num_classes, store, console.note)
        target = find_target(config, dataset, split, store)
        prepared = Prepared(dataset, split, target, dict(identity(config, dataset)))
        restored = restored_identity(
            store, prepared.identity, origins_of(dataset, split.trained_here, config.train.recipe())
        )
        if restored:
            console.note(restored)
            store.write_sealed(IDENTITY, prepared.identity)
        store.check_identity(prepared.identity)
        if prepared.target is not None:
            prepared.target.prepare(console)
        CodeBook(store).remember(code)  # nothing was refused: the directory is free, or this audit's own
    return prepared


def run(config: AuditConfig, store: RunStore, console: StageConsole, prepared: Prepared | None = None) -> AuditResult:
    """Audit from data to report; expects a connected Ray."""
    prepared = prepared or prepare(config, store, console)
    dataset, split, target = prepared.dataset, prepared.split, prepared.target
    with console.stage("Load or Train Models"):
        store.claim(prepared.identity)
        models = train_references(dataset, split.trained_here, config.train, config.cluster, store, console)
        split = without_missing_models(config, dataset, split, [model.index for model in models])
    with console.stage("Gather Auditing Dataset"):
        records = gather_records(dataset, split, config.data.in_memory_limit)
    with console.stage("Compute Membership Signals"):
        attacked, plan = list(models), signal_plan(config, dataset, split)
        if target is not None:
            record, columns = target.answer([(part.part, part.x, part.y) for part in records], console)
            keep_columns(plan, records, record, columns, store)
            attacked.append(record)
        signals = collect_signals(plan, split, records, attacked, store, console)
        signals = add_predictions(regression(config, dataset), signals, records, attacked, store, console)
    with console.stage("Perform Privacy Audit"):
        about = provenance(config, dataset, models, describe_cluster(), about_target(target, split))
        notes = list(odd_models(signals.audit["logit_gap"]))
        result = replace(
            analyse(config, dataset, split, signals),
            timings=console.timings,
            provenance={**about, "notes": notes} if notes else about,
            timeline=timeline(models, attempts(store)),
        )
    rows = {"id": result.records["id"], "row": dataset.rows[result.records["id"]]}
    result = replace(result, records=rows | dict(result.records), exposed=exposed_records(dataset, result))
    store.delete(f"{config.audit.report_log}/metrics.json")  # written last: until then the report is not complete
    writers = {name: writer for name, writer in WRITERS.items() if name != "timings" or config.run.time_log}
    write_report(result, lambda path, data: store.write(f"{config.audit.report_log}/{path}", data), writers)
    return result


def exposed_records(dataset: Dataset, result: AuditResult) -> dict[str, np.ndarray]:
    """The records themselves that a report shows: ids and x of the most exposed ones."""
    ids = result.records["id"][most_exposed(result.records, result.main_attack.name)]
    return {"id": ids, "x": dataset.x[ids]}


def audit(config: Config, *, verbose: bool = False, console: StageConsole | None = None) -> AuditResult:
    """Run one audit, given its configuration, its sections as plain values, or the path of a YAML file.

    A running Ray is used; else one is started, and stopped at the end.

    Raises:
        RaymeterError: One line that says what is wrong and what to do; nothing is left behind but finished models.
    """
    if isinstance(config, Mapping):
        config = build_config(config)
    elif not isinstance(config, AuditConfig):
        config = load_config(config)
    console = console or StageConsole()
    for line in (*config.notes(), *will_be_lost(config)):
        console.note(line)
    store = RunStore.at(config.run.log_dir)
    with log_as_notes(console):
        require_cluster(config.cluster)
        with locked(store, console.note):
            prepared = prepare(config, store, console)
            with ExitStack() as stack:
                stack.enter_context(_free_if_empty(config, store, prepared.split))
                with console.stage("Start Ray"):
                    stack.enter_context(connected(config.cluster, verbose))
                result = run(config, store, console, prepared)
                lines, place = [verdict(result), *remarks(result)], f"{store.name}/{config.audit.report_log}"
                console.result(console_table(result), lines, place)
    return result


@contextmanager
def _free_if_empty(config: AuditConfig, store: RunStore, split: Split) -> Iterator[None]:
    """Leave a run directory that was new to any other audit where this one ends without a model.

    Only where Ray was started here, and is stopped by then: nothing may write a model afterwards.
    """
    new = starts_its_own(config.cluster) and store.read(IDENTITY) is None
    try:
        yield
    except BaseException:
        if new and is_stopped() and ModelStore(store).holds_none(map(int, split.models)):
            for path in (HISTORY, IDENTITY):
                store.delete(path)
        raise


def analyse(config: AuditConfig, dataset: Dataset, split: Split, signals: Signals) -> AuditResult:
    """Stored signals -> scores, metrics, thresholds, records, groups and the checks around them."""
    seed, audited = config.run.random_seed, signals.audit["logit_gap"]
    groupings: dict[str, np.ndarray] = {} if audited.labels is None else {"class": audited.labels}
    if config.audit.groups:
        groupings["group"] = load_groups(config.audit.groups, audited.ids)
    attacks = config.attacks
    result = audit_result(
        score_all(signals, attacks, RunStore.at(config.run.log_dir)),
        reference=split.reference,
        labels=audited.labels,
        thresholds=thresholds_of_all(signals, attacks, FPRS),
        groupings=groupings,
        seed=seed,
        main=main_label(attacks),
    )
    return replace(
        with_model_numbers(result, split.models, foreign=split.has_foreign_target),
        records={**result.records, **record_columns(audited, split.here, seed=seed_for(seed, "records at risk"))},
        power=power_of_all(signals, attacks, seed_for(seed, "power")) if config.audit.power_curve else {},
        blind=_ask_blindly(dataset, split, seed) if config.audit.blind_baseline else None,
    )


def _ask_blindly(dataset: Dataset, split: Split, seed: int) -> BlindResult:
    from raymeter.analysis.blind_baseline import blind_baseline

    return blind_baseline(dataset, split, seed_for(seed, "blind baseline"))
