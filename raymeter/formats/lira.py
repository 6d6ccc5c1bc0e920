"""LiRA: the authors' TensorFlow layout (experiment-<i>_<n>/...) and lira-pytorch's (<id>/...).

Both keep which records a model saw in keep.npy, and scores log p_y - log of the sum of the others: the logit gap.
Records are positions in x_train.npy, y_train.npy or the training set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from raymeter.errors import DataError
from raymeter.formats.reading import load_array, truth, unique_ids, whole_numbers
from raymeter.formats.values import Exported, Extras, File, Imported, SignalPair, assemble_signals, make_signals, npy
from raymeter.schema.ids import as_ids
from raymeter.schema.signals import Signals

EXPERIMENT = re.compile(r"experiment-(\d+)_(\d+)")
EPOCH = re.compile(r"(\d{10})(_\d{4})?\.npy")
BATCH_STATISTICS = "batch"  # the authors' inference.py calls its models with training=True


def read(source: Path, extras: Extras) -> Imported:
    """Signals of all experiments in a directory of either layout; ids.npy, which our export adds, names the records.

    Raises:
        DataError: No experiment, files that are missing, or experiments that do not fit each other.
    """
    extras = with_ids(source, extras)
    experiments = sorted(
        (int(match[1]), int(match[2]), path)
        for path in (source.iterdir() if source.is_dir() else ())
        if (match := EXPERIMENT.fullmatch(path.name)) and path.is_dir()
    )
    if experiments:
        return _read_experiments(source, experiments, extras)
    folders = [path for path in source.iterdir() if (path / "keep.npy").is_file()] if source.is_dir() else []
    if not folders:
        raise DataError(f"{source} has no experiment-<i>_<n>/ nor <id>/keep.npy; give LiRA's logdir or savedir")
    folders.sort(key=lambda path: (not path.name.isdigit(), int(path.name) if path.name.isdigit() else 0, path.name))
    labels = extras.labels
    models = [
        model_signals(path, path / "scores.npy", path / "logits.npy", labels, extras, single=False) for path in folders
    ]
    about: dict[str, object] = {"layout": "lira-pytorch", "models": [path.name for path in folders]}
    return together(models, [path / "keep.npy" for path in folders], labels, extras, about)


def with_ids(source: Path, extras: Extras) -> Extras:
    """The ids that our own export keeps in ids.npy, where none were given."""
    path = source / "ids.npy"
    if extras.ids is not None or not path.is_file():
        return extras
    return replace(extras, ids=as_ids(load_array(path), str(path)))


def _read_experiments(source: Path, experiments: list[tuple[int, int, Path]], extras: Extras) -> Imported:
    sizes = sorted({size for _, size, _ in experiments})
    if len(sizes) > 1 or len({number for number, _, _ in experiments}) < len(experiments):
        raise DataError(f"{source} mixes sets of {sizes} experiments; give a directory with the experiments of one set")
    labels = extras.labels
    if labels is None and (source / "y_train.npy").is_file():
        labels = whole_numbers(load_array(source / "y_train.npy"), f"{source}/y_train.npy")
    models, keeps, epochs = [], [], []
    for _, _, folder in experiments:
        name = _last_epoch(folder)
        epochs.append(name.removesuffix(".npy"))
        models.append(
            model_signals(folder, folder / "scores" / name, folder / "logits" / name, labels, extras, single=True)
        )
        keeps.append(folder / "keep.npy")
    about: dict[str, object] = {
        "layout": "tensorflow",
        "models": [number for number, _, _ in experiments],
        "epochs": sorted(set(epochs)),
    }
    if extras.batch_norm is None and not (source / "ids.npy").is_file():  # not our own export
        about["batch_norm"] = BATCH_STATISTICS
    absent = sorted(set(range(sizes[0])) - {number for number, _, _ in experiments})
    notes = [f"{len(absent)} of {sizes[0]} experiments are not there: {absent[:5]}"] if absent else []
    if len(set(epochs)) > 1:
        notes.append(f"signals are of different epochs: {', '.join(sorted(set(epochs)))}")
    return together(models, keeps, labels, extras, about, notes)


def _last_epoch(folder: Path) -> str:
    names = [path.name for part in ("scores", "logits") for path in (folder / part).glob("*.npy")]
    names = sorted(name for name in names if EPOCH.fullmatch(name))
    if not names:
        raise DataError(f"{folder} has neither scores/ nor logits/; run LiRA's inference.py (and score.py) first")
    return names[-1]


def model_signals(
    folder: Path, scores: Path, logits: Path, labels: np.ndarray | None, extras: Extras, single: bool
) -> SignalPair:
    """One model's signals [records, 1, views], from its logits where they are to be kept, else from its scores.

    Args:
        single: Whether logits have an axis of length one before the views, as TensorFlow's have.
    """
    if scores.is_file() and not (extras.logits and logits.is_file()):
        values = load_array(scores)
        if values.ndim != 2:
            raise DataError(f"{scores} must be [records, views], got {list(values.shape)}")
        return make_signals(values[:, None], "logit_gap", None, str(scores))
    if not logits.is_file():
        raise DataError(f"{folder} has neither {scores.name} nor {logits.name}; run LiRA's inference first")
    values = load_array(logits)
    if single and values.ndim == 4 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 3:
        expected = "[records, 1, views, classes]" if single else "[records, views, classes]"
        raise DataError(f"{logits} must be {expected}, got {list(values.shape)}")
    if labels is None:
        raise DataError(f"{logits}: logits need the class of each record; give --labels, an .npy in the same order")
    return make_signals(values[:, None], "logits", labels, str(logits))


def together(
    models: list[SignalPair],
    keeps: list[Path],
    labels: np.ndarray | None,
    extras: Extras,
    about: Mapping[str, object],
    notes: list[str] | None = None,
) -> Imported:
    """Models with a keep.npy each, as signals of all records.

    Raises:
        DataError: Models have different records or views, or a keep.npy of another length.
    """
    first = models[0].log_prob.shape
    for pair, keep in zip(models, keeps, strict=True):
        if pair.log_prob.shape != first:
            raise DataError(
                f"{keep.parent} has {list(pair.log_prob.shape[::2])} records and views, {keeps[0].parent} has "
                f"{list(first[::2])}; leave out one of them"
            )
    member = np.stack([_mask(keep, first[0]) for keep in keeps], axis=1)
    return joined(models, member, labels, extras, about, notes)


def joined(
    models: list[SignalPair],
    member: np.ndarray,
    labels: np.ndarray | None,
    extras: Extras,
    about: Mapping[str, object],
    notes: list[str] | None = None,
) -> Imported:
    """Signals of single models and their membership matrix, as signals of all records."""
    records = len(member)
    if labels is not None and len(labels) != records:
        raise DataError(f"labels must be of {records} records, got {len(labels)}")
    ids = np.arange(records) if extras.ids is None else extras.ids
    if len(ids) != records:
        raise DataError(f"ids must name {records} records, got {len(ids)}")
    unique_ids(ids, "ids")
    logits = [pair.logits for pair in models if pair.logits is not None]
    pair = SignalPair(
        np.concatenate([pair.log_prob for pair in models], axis=1),
        np.concatenate([pair.logit_gap for pair in models], axis=1),
        0,
        np.concatenate(logits, axis=1) if extras.logits and len(logits) == len(models) else None,
    )
    all_notes = [*(notes or []), "no population: RMIA and Attack-P cannot run (BASE is RMIA's log-ratio without one)"]
    return Imported(assemble_signals(pair, member, ids, labels), {"kind": "logit_gap", **about}, tuple(all_notes))


def _mask(path: Path, records: int) -> np.ndarray:
    mask = truth(load_array(path), str(path))
    if mask.shape != (records,):
        raise DataError(f"{path} must be of {records} records, as the signals are, got {list(mask.shape)}")
    return mask


def write(signals: Signals) -> Exported:
    """The TensorFlow layout: scores of every view as float64, logits where the run kept them, labels as y_train.npy.

    Record n is the n-th of ids.npy, which is added. x_train.npy and weights are not written.
    """
    matrix = signals.audit["logit_gap"]

    def files() -> Iterator[File]:
        count = matrix.values.shape[1]
        yield "ids.npy", npy(matrix.ids)
        if matrix.labels is not None:
            yield "y_train.npy", npy(matrix.labels)
        for m in range(count):
            folder = f"experiment-{m}_{count}"
            content = {"expid": m, "num_experiments": count, "tags": "raymeter"}
            yield f"{folder}/hparams.json", (json.dumps(content) + "\n").encode()
            yield f"{folder}/keep.npy", npy(matrix.member[:, m].copy())
            yield f"{folder}/scores/{0:010d}.npy", npy(matrix.values[:, m].astype(np.float64))
            if signals.audit_logits is not None:
                yield f"{folder}/logits/{0:010d}.npy", npy(signals.audit_logits[:, m][:, None])

    notes = ["x_train.npy, the weights and the population are not exported; ids.npy says which record is which"]
    if signals.audit_logits is None:
        notes.append("the run kept no logits (audit.logits): scores alone are written")
    return Exported(files(), tuple(notes))
