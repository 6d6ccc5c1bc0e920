"""LeakPro: attack_cache/{target_<hash>|sm_<i>_<hash>}_logits.npy with the record of each row in ..._indices.npy.

Rows are the target's training and then its test records, not the order of the dataset. Who trained on what, and the
classes, are in pickles, which are not read: the error says how to write them down as plain arrays.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raymeter.errors import DataError
from raymeter.formats.reading import load_array, load_arrays, unique_ids, whole_numbers
from raymeter.formats.values import Exported, Extras, File, Imported, SignalPair, assemble_signals, make_signals, npy
from raymeter.schema.signals import Signals

CACHED = re.compile(r"(target|sm_(\d+))(_[0-9a-f]+)?_logits\.npy")  # some versions leave the hash out
PLAIN = "raymeter_members.npz"
CONVERT = (
    "who trained on what, and the classes, are in LeakPro's pickles, which raymeter does not read. Where you trust "
    'them, run this with LeakPro installed, in its output folder, and import again: python -c "import pickle, re, '
    "numpy as np, pathlib as p; load = lambda f: pickle.load(open(f, 'rb')); "
    "m = {'sm_' + re.findall(r'[0-9]+', f.stem)[0]: load(f).train_indices for f in "
    "p.Path('attack_objects/shadow_model').glob('metadata_*.pkl')}; "
    "np.savez('attack_cache/raymeter_members.npz', target=load('TARGET_FOLDER/model_metadata.pkl').train_indices, "
    "labels=np.asarray(load('DATA_PATH').targets), **m)\""
)


def read(source: Path, extras: Extras) -> Imported:
    """Signals of the target and its shadow models, aligned by record; the target alone is attacked.

    Args:
        source: LeakPro's output folder, or its attack_cache.

    Raises:
        DataError: Files are missing, records do not line up, or members and labels are not written down.
    """
    cache = source / "attack_cache" if (source / "attack_cache").is_dir() else source
    target, shadows = _cached(cache)
    plain = dict(extras.members) or (load_arrays(cache / PLAIN) if (cache / PLAIN).is_file() else {})
    all_labels = extras.labels if extras.labels is not None else plain.get("labels")
    absent = [name for name in ("target", *shadows) if name not in plain]
    if absent or all_labels is None:
        lacking = f"no members of {', '.join(absent[:3])}" if absent else "no labels"
        raise DataError(f"{cache}: {lacking}; {CONVERT}")
    ids = unique_ids(whole_numbers(load_array(_indices(target)), str(_indices(target))), str(_indices(target)))
    if len(all_labels) <= ids.max(initial=-1):
        raise DataError(f"labels must be of the whole dataset: record {ids.max()} is needed, got {len(all_labels)}")
    labels = whole_numbers(np.asarray(all_labels), "labels")[ids]
    paths = {"target": target, **shadows}
    models = [_aligned(path, ids, labels) for path in paths.values()]
    member = np.stack([_members_of(name, np.asarray(plain[name]), ids) for name in paths], axis=1)
    pair = SignalPair(
        np.concatenate([pair.log_prob for pair in models], axis=1),
        np.concatenate([pair.logit_gap for pair in models], axis=1),
        0,
        np.concatenate([pair.logits for pair in models if pair.logits is not None], axis=1) if extras.logits else None,
    )
    notes = ["no population: RMIA and Attack-P cannot run (BASE is RMIA's log-ratio without one)"]
    about = {"models": list(paths), "kind": "logits"}
    return Imported(assemble_signals(pair, member, ids, labels, targets=[0]), about, tuple(notes))


def _cached(cache: Path) -> tuple[Path, dict[str, Path]]:
    """The file of the target's logits, and those of the shadow models by name in the order of their numbers."""
    caches = [
        (match, path)
        for path in (sorted(cache.iterdir()) if cache.is_dir() else ())
        if (match := CACHED.fullmatch(path.name))
    ]
    targets = [path for match, path in caches if match[1] == "target"]
    shadows = sorted((int(match[2]), match[1], path) for match, path in caches if match[2] is not None)
    if not targets or not shadows:
        raise DataError(
            f"{cache} has no target_<hash>_logits.npy and sm_<i>_<hash>_logits.npy; run LeakPro's LiRA first"
        )
    numbers = [number for number, _, _ in shadows]
    if len(targets) > 1 or len(set(numbers)) < len(numbers):
        raise DataError(f"{cache} holds caches of several targets or populations; move all but one audit's away")
    return targets[0], {name: path for _, name, path in shadows}


def _indices(logits: Path) -> Path:
    return logits.with_name(logits.name.replace("_logits.npy", "_indices.npy"))


def _aligned(path: Path, ids: np.ndarray, labels: np.ndarray) -> SignalPair:
    """One model's signals [records, 1, 1] in the order of the ids."""
    values, rows = load_array(path), whole_numbers(load_array(_indices(path)), str(_indices(path)))
    if values.ndim != 2 or len(values) != len(rows):
        raise DataError(
            f"{path} must be [records, classes] with an entry of {_indices(path).name} a row, got "
            f"{list(values.shape)} and {len(rows)}"
        )
    unique_ids(rows, str(_indices(path)))
    order = np.argsort(rows)
    place = np.searchsorted(rows, ids, sorter=order)
    there = order[np.minimum(place, len(rows) - 1)]
    if not np.array_equal(rows[there], ids):
        lacking = ids[rows[there] != ids]
        raise DataError(
            f"{path} lacks {len(lacking)} of the target's records, the first is {lacking[0]}; clear the cache"
        )
    return make_signals(values[there][:, None], "logits", labels, str(path))


def _members_of(name: str, members: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Whether a model was trained on each record, from the ids of its training records."""
    if members.dtype == np.bool_:
        raise DataError(f"members of {name} must be the ids of its training records, got {members.dtype}")
    member: np.ndarray = np.isin(ids, whole_numbers(members, f"members of {name}"))
    if not member.any():
        raise DataError(f"{name} was trained on none of the {len(ids)} records; its ids are numbered in another way")
    return member


def write(signals: Signals) -> Exported:
    """The cache of one audit: the first target, and the models that may judge it as its shadow models.

    Raises:
        DataError: The run kept no logits, which is all that LeakPro caches.
    """
    if signals.audit_logits is None:
        raise DataError(
            "leakpro: its cache holds logits, which this run did not keep; audit again with audit.logits=true"
        )
    logits, matrix = signals.audit_logits, signals.audit["log_prob"]
    target, judges = int(matrix.targets[0]), np.flatnonzero(matrix.reference[0])
    member = matrix.member[:, target]
    rows = np.concatenate([np.flatnonzero(member), np.flatnonzero(~member)])
    numbers = matrix.ids if matrix.ids.dtype.kind == "i" else np.arange(len(matrix.ids))
    ids = numbers[rows]

    def files() -> Iterator[File]:
        digest = hashlib.sha256(np.ascontiguousarray(ids).data).hexdigest()
        names = {f"target_{digest}": target} | {f"sm_{i}_{digest}": int(m) for i, m in enumerate(judges)}
        seen: dict[str, np.ndarray] = {}
        for name, m in names.items():
            yield f"attack_cache/{name}_logits.npy", npy(np.ascontiguousarray(logits[rows, m, 0]))
            yield f"attack_cache/{name}_indices.npy", npy(ids)
            seen[name.rpartition("_")[0]] = numbers[matrix.member[:, m]]
        if matrix.labels is not None:
            labels = np.full(int(numbers.max()) + 1, -1, dtype=np.int64)
            labels[numbers] = matrix.labels
            seen["labels"] = labels
        buffer = io.BytesIO()
        np.savez(buffer, **seen)  # type: ignore[arg-type]
        yield f"attack_cache/{PLAIN}", buffer.getvalue()
        if numbers is not matrix.ids:
            yield "ids.npy", npy(matrix.ids)

    notes = [
        f"one target, model {target}, and the {len(judges)} models that may judge it; no pickles: members "
        f"and labels are in attack_cache/{PLAIN}",
    ]
    if numbers is not matrix.ids:
        notes.append("records are numbered by their position, as the format has no names: ids.npy has them")
    if logits.shape[2] > 1:
        notes.append(f"the format has one view per record: the first of {logits.shape[2]} is written")
    return Exported(files(), tuple(notes))
