"""`raymeter score`: scores or signals that were made elsewhere -> the full statistics and report; no Ray."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from raymeter.cli.extras import add_extras, extras_of
from raymeter.cli.gate import add_gates, pass_gates
from raymeter.cli.guard import guarded
from raymeter.errors import ConfigError
from raymeter.pipeline.score import _attacks, claim, write
from raymeter.report.gate import parse_gates

if TYPE_CHECKING:
    from raymeter.analysis.outside_results import Assessment
    from raymeter.formats import Imported
    from raymeter.storage.run_store import RunStore


Job: TypeAlias = "tuple[dict[str, Any], Callable[[], Assessment]]"  # what a result is of, and the work that makes it


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see `--help`."""
    options = _parser().parse_args(argv)
    return guarded(lambda: score(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="raymeter score",
        description="Judge scores or signals that were made elsewhere: curves, intervals, records at risk, pictures.",
    )
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="scores (.parquet or .csv with columns id, score, member[, target, group]), or a run directory",
    )
    parser.add_argument("--out", metavar="DIR", help="where the report goes; by default beside the file")
    parser.add_argument("--overwrite", action="store_true", help="replace other results in --out")
    parser.add_argument("--lower-means-member", action="store_true", help="the lower a score, the likelier a member")
    parser.add_argument("--common-records", action="store_true", help="leave out records that not every target has")
    parser.add_argument("--signals", metavar="FILE", help="attack these signals (.npz, .npy, .pt, .parquet, .csv)")
    add_extras(parser)
    parser.add_argument("--population", metavar="FILE", help=".npy: signals of records that no model was trained on")
    parser.add_argument("--population-labels", metavar="FILE", help=".npy: their classes, for logits")
    parser.add_argument("--attacks", metavar="YAML", help="as audit.attacks, such as '[rmia, {name: lira}]'")
    add_gates(parser)
    parser.add_argument("--seed", type=int, help="of shuffles and bootstraps; by default the run's, or 0")
    return parser


def score(options: argparse.Namespace) -> int:
    """Read, judge, write, and say what was found; what must not be replaced is known before the work."""
    from raymeter.report.data_files import plain_attacks
    from raymeter.storage.run_store import RunStore

    gates = parse_gates(options.fail_if)
    if (options.source is None) == (options.signals is None):
        raise ConfigError("give a file of scores or a run directory, or --signals FILE; see raymeter score --help")
    source = Path(options.signals or options.source)
    read = _own_signals if options.signals is not None else _run_directory if source.is_dir() else _table
    about, judge = read(source, options)
    default = source / "report" if source.is_dir() else source.with_name(f"{source.stem}-report")
    store = RunStore.at(options.out or str(default))
    replaced = claim(store, about, options.overwrite)
    assessment = judge()
    write(assessment, about, store)
    tell(assessment, [*replaced, *assessment.notes], store)
    return pass_gates(gates, plain_attacks(assessment.result))


def _table(source: Path, options: argparse.Namespace) -> Job:
    from raymeter.analysis.outside_results import assess_scores
    from raymeter.formats.tables import about_names, read_scores

    _needs_signals(options, f"{source} is a table of scores")
    table = read_scores(source, lower_means_member=options.lower_means_member, common=options.common_records)
    seed = options.seed or 0
    asked = {"lower_means_member": options.lower_means_member, "common_records": options.common_records}
    about = {"source": str(source), "sha256": hashlib.sha256(source.read_bytes()).hexdigest(), **asked}

    def judge() -> Assessment:
        found = assess_scores(table.scores, table.groups, seed)
        result = replace(found.result, records={**found.result.records, "id": table.names})
        dropped = [f"{table.dropped} records that not every target has are left out"] if table.dropped else []
        return replace(found, result=result, notes=(*dropped, *found.notes))

    return {**about, **about_names(table), "seed": seed}, judge


def _own_signals(source: Path, options: argparse.Namespace) -> Job:
    from raymeter.formats import arrays

    _needs_scores(options, "--signals")
    return _attacked(arrays.read(source, extras_of(options)), source, options, None, options.seed or 0)


def _run_directory(source: Path, options: argparse.Namespace) -> Job:
    from raymeter.formats import Imported
    from raymeter.signals.stored import load_signals
    from raymeter.storage.run_store import RunStore

    _needs_scores(options, "a run directory")
    _needs_signals(options, f"{source} is a run directory", allowed=("attacks",))
    stored = load_signals(RunStore.at(str(source)))
    entries = stored.config.get("audit", {}).get("attacks", [])
    audited = [entry for entry in entries if entry.get("name") != "qmia"]  # its regressors are not stored
    default = None if "imported" in stored.config else audited
    seed = stored.config.get("run", {}).get("random_seed", 0) if options.seed is None else options.seed
    return _attacked(Imported(stored.signals, {}), source, options, default, seed)


def _attacked(imported: Imported, source: Path, options: argparse.Namespace, default: Any, seed: int) -> Job:
    from raymeter.analysis.outside_results import assess_signals
    from raymeter.schema.dataset import fingerprint_arrays

    matrix, attacks = imported.signals.audit["logit_gap"], _attacks(options.attacks, default)
    about = {"source": str(source), "sha256": fingerprint_arrays(matrix.values, matrix.member, matrix.ids)}

    def judge() -> Assessment:
        found = assess_signals(imported.signals, attacks, seed)
        return replace(found, notes=(*imported.notes, *found.notes))

    return {**about, **imported.about, "attacks": options.attacks, "seed": seed}, judge


def _needs_signals(options: argparse.Namespace, why: str, allowed: Sequence[str] = ()) -> None:
    names = ("members", "ids", "labels", "kind", "population", "population_labels", "attacks")
    given = [name for name in names if name not in allowed and getattr(options, name) is not None]
    if given:
        raise ConfigError(f"--{given[0].replace('_', '-')} goes with --signals, and {why}; leave it out")


def _needs_scores(options: argparse.Namespace, what: str) -> None:
    if options.lower_means_member or options.common_records:
        flag = "--lower-means-member" if options.lower_means_member else "--common-records"
        raise ConfigError(f"{flag} goes with a table of scores, not with {what}; leave it out")


def tell(assessment: Assessment, lines: Sequence[str], store: RunStore) -> None:
    """The table, one sentence, and what else must be known."""
    from raymeter.pipeline.console import StageConsole
    from raymeter.report.terminal import console_table
    from raymeter.report.verdict import remarks, verdict

    result = assessment.result
    StageConsole().result(console_table(result), [verdict(result), *remarks(result), *lines, f"Report: {store.name}"])
