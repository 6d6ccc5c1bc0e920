"""lira_analysis: keep_indices.npy bool [models, records], model_<i>/scores/scores.npy, and final scores if attacked.

`<attack>_scores_leave_one_out.npy` [models, records], higher means member, become tables for `raymeter score`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raymeter.errors import DataError
from raymeter.formats.lira import joined, model_signals, with_ids
from raymeter.formats.reading import load_array, truth
from raymeter.formats.values import Exported, Extras, File, Imported, npy
from raymeter.schema.scores import Scores
from raymeter.schema.signals import Signals

MODEL = re.compile(r"model_(\d+)")
LABELS, KEEP, FINAL = "membership_labels.npy", "keep_indices.npy", "_scores_leave_one_out.npy"


def read(source: Path, extras: Extras) -> Imported:
    """Signals and final scores of an experiment directory.

    Raises:
        DataError: Models are missing, masks are transposed or contradict each other, or records differ.
    """
    extras = with_ids(source, extras)
    folders = {
        int(match[1]): path
        for path in (source.iterdir() if source.is_dir() else ())
        if (match := MODEL.fullmatch(path.name)) and path.is_dir()
    }
    if sorted(folders) != list(range(len(folders))) or not folders:
        raise DataError(f"{source} must have model_0, model_1, ... without a gap, got {sorted(folders)[:9]}")
    labels = extras.labels
    models = [
        model_signals(path, path / "scores/scores.npy", path / "logits/logits.npy", labels, extras, single=True)
        for _, path in sorted(folders.items())
    ]
    shapes = sorted({pair.log_prob.shape[::2] for pair in models})
    if len(shapes) > 1:
        raise DataError(f"{source}: models have different numbers of records and views: {shapes}")
    records, _ = shapes[0]
    keep = _mask(source / KEEP, len(models), records)
    if (source / LABELS).is_file() and not np.array_equal(_mask(source / LABELS, len(models), records), keep):
        raise DataError(f"{source}: {LABELS} and {KEEP} disagree on who was a member; find out which one is right")
    ids = np.arange(records) if extras.ids is None else extras.ids
    imported = joined(models, keep.T.copy(), labels, extras, {"layout": "lira_analysis"})
    scores = {path.name.removesuffix(FINAL): _scores(path, keep, ids) for path in sorted(source.glob(f"*{FINAL}"))}
    return Imported(imported.signals, imported.about, imported.notes, scores)


def _mask(path: Path, models: int, records: int) -> np.ndarray:
    mask = truth(load_array(path), str(path))
    if mask.shape != (models, records):
        hint = ": it is transposed" if mask.shape == (records, models) else ""
        raise DataError(f"{path} must be [models, records] = [{models}, {records}], got {list(mask.shape)}{hint}")
    return mask


def _scores(path: Path, keep: np.ndarray, ids: np.ndarray) -> Scores:
    values = load_array(path)
    if values.shape != keep.shape:
        raise DataError(f"{path} must be [models, records] = {list(keep.shape)}, got {list(values.shape)}")
    return Scores(path.name.removesuffix(FINAL), values.T.astype(np.float64), keep.T, ids, np.arange(len(keep)))


def write(signals: Signals) -> Exported:
    """Masks and scores per model; record n is the n-th of ids.npy, which is added."""
    matrix = signals.audit["logit_gap"]

    def files() -> Iterator[File]:
        member = np.ascontiguousarray(matrix.member.T)
        yield "ids.npy", npy(matrix.ids)
        yield KEEP, npy(member)
        yield LABELS, npy(member)
        for m in range(len(member)):
            yield f"model_{m}/scores/scores.npy", npy(matrix.values[:, m].astype(np.float64))
            if signals.audit_logits is not None:
                yield f"model_{m}/logits/logits.npy", npy(signals.audit_logits[:, m][:, None])

    notes = ("weights, the population and final scores are not exported; ids.npy says which record is which",)
    return Exported(files(), notes)
