"""The whole pipeline on one screen: `python -m raymeter.audit CONFIG.yaml [section.key=value ...]`."""

from __future__ import annotations

import logging
import os
import sys
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import yaml

from raymeter.analysis import analyse
from raymeter.arguments import audit_arguments
from raymeter.blackbox import BlackBox
from raymeter.collect import collect_signals, gather_records
from raymeter.config import AuditConfig, build_config, load_config
from raymeter.console import JsonConsole, StageConsole, guarded, say_error
from raymeter.data import DOWNLOADABLE, load_dataset
from raymeter.errors import DataError
from raymeter.gate import parse_gates, pass_gates
from raymeter.preflight import check_fit, is_mapped, make_audit_split, signal_bytes, without_missing_models
from raymeter.provenance import identity, provenance, timeline
from raymeter.regress import add_predictions
from raymeter.report import (
    WRITERS,
    console_table,
    main_attack,
    most_exposed,
    plain_attacks,
    remarks,
    verdict,
    write_report,
)
from raymeter.results import AuditResult
from raymeter.runtime import connected, describe_cluster
from raymeter.schema import Dataset, Split
from raymeter.split import model_seed
from raymeter.store import RunStore
from raymeter.target import Columns, KnownWeights, Target, is_member
from raymeter.train import attempts, train_references
from raymeter.upload import left_out, will_be_lost

Config: TypeAlias = AuditConfig | Mapping[str, Any] | str | Path


def run(config: AuditConfig, store: RunStore, console: StageConsole) -> AuditResult:
    """Audit from data to report; expects a connected Ray."""
    with console.stage("Load Dataset"):
        dataset = load_dataset(config.data_spec())
        split = make_audit_split(config, dataset)
        check_fit(config, dataset, split)
        store.claim(identity(config, dataset))
        target = find_target(config, dataset, split, store)
        if target is not None:
            target.prepare(console)
    with console.stage("Load or Train Models"):
        models = train_references(dataset, split.trained_here, config.train, config.cluster, store, console)
        split = without_missing_models(config, dataset, split, [model.index for model in models])
    with console.stage("Gather Auditing Dataset"):
        records = gather_records(dataset, split, config.data.in_memory_limit)
    with console.stage("Compute Membership Signals"):
        asked = list(models)
        given: Columns = {}
        if target is not None:
            record, given = target.answer([(part.part, part.x, part.y) for part in records], console)
            asked.append(record)
        signals = collect_signals(dataset, split, records, asked, config, store, console, given)
        signals = add_predictions(config, dataset, signals, records, asked, store, console)
    with console.stage("Perform Privacy Audit"):
        result = replace(
            analyse(config, dataset, split, signals),
            timings=console.timings,
            provenance=provenance(config, dataset, models, describe_cluster(), about_target(target, split)),
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
    return (BlackBox if config.audit.target.query else KnownWeights)(config, dataset, split, store)


def about_target(target: Target | None, split: Split) -> dict[str, Any] | None:
    """What a report says of it."""
    if target is None:
        return None
    member = is_member(split)
    return {**target.about, "members": int(member.sum()), "others": int((~member).sum())}


def exposed_records(dataset: Dataset, result: AuditResult) -> dict[str, np.ndarray]:
    """The records themselves that a report shows: ids and x of the most exposed ones."""
    ids = result.records["id"][most_exposed(result.records, main_attack(result).name)]
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
    with _told(console), connected(config.cluster, verbose):
        console.timings["Start Ray"] = time.perf_counter() - start
        store = RunStore.at(config.run.log_dir)
        result = run(config, store, console)
        lines = [verdict(result), *remarks(result), f"Report: {store.name}/{config.audit.report_log}"]
        console.result(console_table(result), lines)
    return result


@contextmanager
def _told(console: StageConsole) -> Iterator[None]:
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


def dry_run(config: AuditConfig) -> str:
    """The resolved configuration and what an audit would do, without doing any of it."""
    lines = [yaml.safe_dump(config.resolved(), sort_keys=False).rstrip(), ""]
    store = RunStore.at(config.run.log_dir)
    recipe, seed = config.train.recipe().hash, config.run.random_seed
    done = [index for index in range(config.num_models) if store.load_model(index, recipe, model_seed(seed, index))[0]]
    lines.append(f"models: {config.num_models} in all, {len(done)} reused, {config.num_models - len(done)} to train")
    try:
        spec = replace(config.data_spec(), download=False)
        dataset = load_dataset(spec)
    except DataError as error:
        if config.data.dataset not in DOWNLOADABLE:
            raise
        return "\n".join([*lines, f"data: not here yet ({error})"])
    split = make_audit_split(config, dataset)
    check_fit(config, dataset, split)
    store.check_identity(identity(config, dataset))
    examples, queries = len(split.audit_ids), len(config.views(dataset.is_image))
    data_mb = (dataset.x.nbytes + dataset.population_x.nbytes) / 2**20
    signals_mb = signal_bytes(config, dataset, split) / 2**20
    mapped = is_mapped(config, dataset, split)
    lines += [
        f"data: {dataset.name}, pool {len(dataset.y)}, population {len(dataset.population_y)}, "
        f"{dataset.num_classes} classes",
        f"audit: {examples} records x {config.num_models} models x {queries} views, {len(split.targets)} targets",
        f"memory: about {data_mb:.0f} MiB of records "
        + ("streamed" if dataset.is_streamed else "on every node")
        + (
            f", {signals_mb:.0f} MiB of signals in files beside the driver, attacked in blocks"
            if mapped
            else f", {2 * signals_mb:.0f} MiB of signals on the driver"
        ),
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    options = audit_arguments(argv)
    console = JsonConsole() if options.json_logs else None

    def command() -> int:
        sys.path.insert(0, os.getcwd())  # so that module:function finds the user's files
        config = load_config(options.config, options.overrides)
        gates = parse_gates(options.fail_if, config.attacks)
        if options.dry_run:
            print(dry_run(config))
            for line in left_out(config, options.config, Path.cwd()):
                print(line)
            return 0
        result = audit(config, verbose=options.verbose, console=console)
        return pass_gates(gates, plain_attacks(result))

    return guarded(command, say=console.error if console else say_error)


class _CallableModule(types.ModuleType):
    """Lets `raymeter.audit(config)` mean `raymeter.audit.audit(config)`; a package cannot hold both names."""

    def __call__(self, config: Config, *, verbose: bool = False) -> AuditResult:
        return audit(config, verbose=verbose)


sys.modules[__name__].__class__ = _CallableModule

if __name__ == "__main__":
    sys.exit(main())
