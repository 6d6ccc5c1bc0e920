"""A small result of an audit as reports are tested with, and the files that a report of it has."""

from __future__ import annotations

from datetime import date

import numpy as np

from raymeter.report.write import write_report
from raymeter.schema import Scores
from raymeter.schema.results import AuditResult
from raymeter.stats import summarise
from raymeter.training.split import pair_reference


def sample(names: tuple[str, ...] = ("loss", "rmia", "lira"), targets: int = 4, records: int = 120) -> AuditResult:
    """An audit of complementary pairs; later attacks are stronger, the last record is in no target."""
    rng = np.random.default_rng(0)
    half = rng.permuted(np.tile(np.arange(records) % 2 == 0, (targets // 2, 1)), axis=1).T
    member = np.stack([half, ~half], axis=2).reshape(records, targets)
    member[-1] = False
    ids = np.arange(records, dtype=np.int64) + 1000
    scores = [
        Scores(
            name, rng.normal(size=member.shape) + i * member, member, ids, np.arange(targets), {"gamma": np.float32(2)}
        )
        for i, name in enumerate(names)
    ]
    attacks, table = summarise(scores, pair_reference(targets), np.arange(records) % 10)
    timings = {"Load Dataset": 1.234, "Load or Train Models": np.float64(60)}
    provenance = {"seed": np.int64(7), "loss": float("nan"), "date": date(2026, 1, 2)}
    return AuditResult(attacks, table, timings, provenance, main="rmia" if "rmia" in names else "")


def written(result: AuditResult) -> dict[str, bytes]:
    """Path -> bytes, in the order of writing."""
    files: dict[str, bytes] = {}

    def write(path: str, data: bytes) -> None:
        assert path not in files
        files[path] = data

    write_report(result, write)
    return files
