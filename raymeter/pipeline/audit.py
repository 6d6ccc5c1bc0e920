"""A whole audit on one screen: data, reference models, signals, attacks, report."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from raymeter.analysis.odd_models import odd_models
from raymeter.analysis.record_exposure import most_exposed, record_columns
from raymeter.analysis.result import FPRS, audit_result, main_label, with_model_numbers
from raymeter.config.load import AuditConfig, build_config, load_config
from raymeter.config.sections import QueryTarget, WeightsTarget
from raymeter.data import load_dataset
from raymeter.data.groups import load_groups
from raymeter.distributed.attack_tasks import power_of_all, score_all, thresholds_of_all
from raymeter.distributed.job_upload import will_be_lost
from raymeter.distributed.regressors import add_predictions
from raymeter.distributed.session import connected, describe_cluster
from raymeter.distributed.signals.collect import collect_signals
from raymeter.distributed.training.train_references import attempts, train_references
from raymeter.pipeline.checks import check_fit, make_audit_split, without_missing_models
from raymeter.pipeline.code_check import check_code
from raymeter.pipeline.console import StageConsole
from raymeter.pipeline.provenance import identity, provenance, timeline
from raymeter.pipeline.stage_settings import regression, signal_plan
from raymeter.report.terminal import console_table
from raymeter.report.verdict import remarks, verdict
from raymeter.report.write import WRITERS, write_report
from raymeter.schema.dataset import Dataset
from raymeter.schema.results import AuditResult, BlindResult
from raymeter.schema.seeds import seed_for
from raymeter.schema.signals import Signals
from raymeter.schema.split import Split
from raymeter.signals.frame import keep_columns
from raymeter.signals.records import gather_records
from raymeter.signals.targets.black_box import BlackBox
from raymeter.signals.targets.protocol import Target, is_member
from raymeter.signals.targets.weights import KnownWeights
from raymeter.storage.code_book import CodeBook
from raymeter.storage.run_store import RunStore

Config: TypeAlias = AuditConfig | Mapping[str, Any] | str | Path


def run(config: AuditConfig, store: RunStore, console: StageConsole) -> AuditResult:
    """Audit from data to report; expects a connected Ray."""
    with console.stage("Load Dataset"):
        dataset = load_dataset(config.data_spec())
        split = make_audit_split(config, dataset)
        check_fit(config, dataset, split)
        code = check_code(config, dataset.num_classes, store, console.note)
        store.claim(identity(config, dataset))
        CodeBook(store).remember(code)
        target = find_target(config, dataset, split, store)
        if target is not None:
            target.prepare(console)
    with console.stage("Load or Train Models"):
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


def find_target(config: AuditConfig, dataset: Dataset, split: Split, store: RunStore) -> Target | None:
    """The model that was trained elsewhere, where there is one."""
    if config.audit.target is None:
        return None
    match config.audit.target.kind():
        case WeightsTarget() as target:
            return KnownWeights(target, config.train.model_name, dataset, split, store)
        case QueryTarget() as target:
            views, limit = config.views(dataset.is_image), config.data.in_memory_limit
            return BlackBox(target, views, limit, dataset, split, store)


def about_target(target: Target | None, split: Split) -> dict[str, Any] | None:
    """What a report says of it."""
    if target is None:
        return None
    member = is_member(split)
    return {**target.about, "members": int(member.sum()), "others": int((~member).sum())}


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
    start = time.perf_counter()
    with _log_as_notes(console), connected(config.cluster, verbose):
        console.timings["Start Ray"] = time.perf_counter() - start
        store = RunStore.at(config.run.log_dir)
        result = run(config, store, console)
        lines = [verdict(result), *remarks(result), f"Report: {store.name}/{config.audit.report_log}"]
        console.result(console_table(result), lines)
    return result


@contextmanager
def _log_as_notes(console: StageConsole) -> Iterator[None]:
    """Show what the library's parts log (checksums of data files, say) as lines under the running stage."""

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.note(record.getMessage())

    logger = logging.getLogger("raymeter")
    before = logger.level, logger.propagate
    handler = Notes()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.level, logger.propagate = before


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
