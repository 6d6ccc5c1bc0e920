"""`raymeter score`: scores or signals that were made elsewhere -> the full statistics and report; no Ray."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from raymeter.cli.gate import add_gates, pass_gates
from raymeter.cli.guard import guarded
from raymeter.cli.signal_options import add_extras, extra_files
from raymeter.cli.verb import Verbs
from raymeter.errors import ConfigError

if TYPE_CHECKING:
    from raymeter.pipeline.score import Judged, Source

WITH_SIGNALS = ("members", "ids", "labels", "kind", "population", "population_labels", "attacks")  # flags


def add_parser(verbs: Verbs) -> argparse.ArgumentParser:
    """The command line of `raymeter score`."""
    parser = verbs.add_parser(
        "score",
        help="judge scores or signals that were made elsewhere",
        description="Judge scores or signals that were made elsewhere: curves, intervals, records at risk, pictures.",
    )
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="scores (.parquet or .csv with columns id, score, member[, target, group]), or a run directory",
    )
    parser.add_argument("--out", metavar="DIR", help="where the report goes; by default next to the file")
    parser.add_argument("--overwrite", action="store_true", help="replace other results in --out")
    parser.add_argument("--lower-means-member", action="store_true", help="the lower a score, the likelier a member")
    parser.add_argument("--common-records", action="store_true", help="leave out records that not every target has")
    parser.add_argument("--signals", metavar="FILE", help="attack these signals (.npz, .npy, .pt, .parquet, .csv)")
    add_extras(parser)
    parser.add_argument("--population", metavar="FILE", help=".npy: signals of records that no model was trained on")
    parser.add_argument("--population-labels", metavar="FILE", help=".npy: their classes, for logits")
    parser.add_argument("--attacks", metavar="YAML", help="as audit.attacks, such as '[rmia, {name: lira}]'")
    add_gates(parser)
    parser.add_argument("--seed", type=int, help="seed of shuffles and bootstraps; by default that of the run, or 0")
    return parser


def run(options: argparse.Namespace) -> int:
    """Judge, print, and pass the gates."""
    from raymeter.pipeline.score import score
    from raymeter.report.data_files import plain_attacks
    from raymeter.report.gate import parse_gates
    from raymeter.report.verdict import inconclusive

    def command() -> int:
        gates = parse_gates(options.fail_if)
        judged = score(_source(options), out=options.out, overwrite=options.overwrite, seed=options.seed)
        _print(judged)
        return pass_gates(gates, plain_attacks(judged.result), inconclusive(judged.result))

    return guarded(command)


def _source(options: argparse.Namespace) -> Source:
    """What is to be judged.

    Raises:
        ConfigError: There is nothing, or two things, or a flag has no use for it.
    """
    from pathlib import Path

    from raymeter.pipeline.score import FinishedRun, ScoresFile, SignalsFile

    if (options.source is None) == (options.signals is None):
        raise ConfigError("give a file of scores or a run directory, or --signals FILE; see raymeter score --help")
    if options.signals is not None:
        _refuse_score_flags(options, "--signals")
        return SignalsFile(Path(options.signals), extra_files(options), options.attacks)
    path = Path(options.source)
    if path.is_dir():
        _refuse_score_flags(options, "a run directory")
        _refuse_signal_flags(options, f"{path} is a run directory", allowed=("attacks",))
        return FinishedRun(path, options.attacks)
    _refuse_signal_flags(options, f"{path} is a table of scores")
    return ScoresFile(path, options.lower_means_member, options.common_records)


def _refuse_signal_flags(options: argparse.Namespace, why: str, allowed: Sequence[str] = ()) -> None:
    given = [name for name in WITH_SIGNALS if name not in allowed and getattr(options, name) is not None]
    if given:
        raise ConfigError(f"--{given[0].replace('_', '-')} goes with --signals, and {why}; leave it out")


def _refuse_score_flags(options: argparse.Namespace, what: str) -> None:
    if options.lower_means_member or options.common_records:
        flag = "--lower-means-member" if options.lower_means_member else "--common-records"
        raise ConfigError(f"{flag} goes with a table of scores, not with {what}; leave it out")


def _print(judged: Judged) -> None:
    """The table, one sentence, and what else must be known."""
    from raymeter.pipeline.console import StageConsole
    from raymeter.report.terminal import console_table
    from raymeter.report.verdict import remarks, verdict

    result = judged.result
    lines = [verdict(result), *remarks(result), *judged.notes]
    StageConsole().result(console_table(result), lines, judged.place)
