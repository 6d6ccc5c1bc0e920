"""Files of other tools, written after their documentation and not by raymeter, and the arrays they stand for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet


@dataclass(frozen=True)
class Truth:
    """What all layouts are written from: logits of every record, model and view, and who was a member."""

    logits: np.ndarray
    labels: np.ndarray
    member: np.ndarray
    population: np.ndarray
    population_labels: np.ndarray

    @property
    def prob(self) -> np.ndarray:
        """True-class softmax probability [records, models, views], one cell at a time."""
        return true_class(self.logits, self.labels)

    @property
    def gap(self) -> np.ndarray:
        """log p - log (1 - p) of the true class, from logits without a softmax."""
        found = np.empty(self.logits.shape[:3])
        for cell in np.ndindex(*found.shape):
            row = self.logits[cell].astype(np.float64)
            rest = np.delete(row, self.labels[cell[0]])
            found[cell] = row[self.labels[cell[0]]] - np.log(np.exp(rest).sum())
        return found


def true_class(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Softmax of each record's own class."""
    found = np.empty(logits.shape[:3])
    for cell in np.ndindex(*found.shape):
        weights = np.exp(logits[cell].astype(np.float64))
        found[cell] = weights[labels[cell[0]]] / weights.sum()
    return found


def truth(records: int = 40, models: int = 6, views: int = 1, classes: int = 3, seed: int = 0) -> Truth:
    """Models of complementary pairs that fit their members better, one after the other."""
    rng = np.random.default_rng(seed)
    half = np.zeros((records, models // 2), dtype=bool)
    for pair in range(models // 2):
        half[rng.permutation(records)[: records // 2], pair] = True
    member = np.stack([half, ~half], axis=2).reshape(records, models)
    labels, others = rng.integers(0, classes, records), rng.integers(0, classes, 15)
    logits = rng.normal(size=(records, models, views, classes)).astype(np.float32)
    logits[np.arange(records), :, :, labels] += 1.0 + 1.5 * member[:, :, None]
    return Truth(logits, labels, member, rng.normal(size=(15, models, views, classes)).astype(np.float32), others)


def save(path: Path, array: np.ndarray) -> None:
    """np.save, with the directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def privacy_meter(path: Path, found: Truth, audited: np.ndarray | None = None) -> None:
    """A log_dir: memberships model-major and of the whole pool, softmax signals as float32."""
    save(path / "models/memberships.npy", found.member.T)
    about = {str(m): {"num_train": int(found.member[:, m].sum()), "model_name": "cnn"} for m in range(6)}
    (path / "models/models_metadata.json").write_text(json.dumps(about))
    rows = np.arange(len(found.member)) if audited is None else audited
    save(path / "signals/rmia_signals.npy", found.prob[rows, :, 0].astype(np.float32))
    outside = true_class(found.population, found.population_labels)[:, :, 0]
    save(path / "signals/rmia_signals_pop.npy", outside.astype(np.float32))


def lira(path: Path, found: Truth, scores: bool = True) -> None:
    """The authors' logdir: an experiment for each model, signals under the number of an epoch."""
    save(path / "x_train.npy", np.zeros((len(found.labels), 2, 2, 3), dtype=np.float32))
    save(path / "y_train.npy", found.labels)
    models = found.member.shape[1]
    for m in range(models):
        folder = path / f"experiment-{m}_{models}"
        save(folder / "keep.npy", found.member[:, m])
        (folder / "hparams.json").write_text(json.dumps({"num_experiments": models, "expid": m}))
        for epoch in (10, 100):  # the last one counts
            noise = 0.0 if epoch == 100 else 1.0
            save(folder / f"logits/{epoch:010d}.npy", found.logits[:, m][:, None] + np.float32(noise))
            if scores:
                save(folder / f"scores/{epoch:010d}.npy", found.gap[:, m] + noise)


def lira_pytorch(path: Path, found: Truth) -> None:
    """The savedir of lira-pytorch: a directory for each id, without an axis of length one."""
    for m in range(found.member.shape[1]):
        save(path / str(m) / "keep.npy", found.member[:, m])
        save(path / str(m) / "logits.npy", found.logits[:, m])
        save(path / str(m) / "scores.npy", found.gap[:, m])


def lira_analysis(path: Path, found: Truth) -> None:
    """An experiment directory with masks, scores per model and final scores."""
    save(path / "keep_indices.npy", found.member.T)
    save(path / "membership_labels.npy", found.member.T)
    for m in range(found.member.shape[1]):
        save(path / f"model_{m}/scores/scores.npy", found.gap[:, m])
        save(path / f"model_{m}/logits/logits.npy", found.logits[:, m][:, None])
    save(path / "online_scores_leave_one_out.npy", found.gap.mean(axis=2).T)


def leakpro(path: Path, found: Truth) -> np.ndarray:
    """An attack_cache: rows are the target's training and then its test records; returns the ids of the rows."""
    train, test = np.flatnonzero(found.member[:, 0]), np.flatnonzero(~found.member[:, 0])
    ids = np.concatenate([train[::-1], test])
    members = {"target": train, "labels": found.labels}
    rng = np.random.default_rng(1)
    for m, name in enumerate(["target_ab12", *(f"sm_{i}_cd34" for i in range(5))]):
        rows = ids if m == 0 else rng.permutation(ids)
        save(path / f"attack_cache/{name}_logits.npy", found.logits[rows, m, 0])
        save(path / f"attack_cache/{name}_indices.npy", rows)
        if m:
            members[f"sm_{m - 1}"] = np.flatnonzero(found.member[:, m])
    np.savez(path / "attack_cache/raymeter_members.npz", **members)
    return ids


def privacyguard(path: Path, found: Truth, as_csv: bool = False) -> None:
    """The frames of PrivacyGuard's RMIA: training rows are the target's members."""
    path.mkdir(parents=True, exist_ok=True)
    prob, outside = found.prob[:, :, 0], true_class(found.population, found.population_labels)[:, :, 0]
    parts = {"df_train_merge": found.member[:, 0], "df_test_merge": ~found.member[:, 0]}
    for name, rows in parts.items():
        columns = {"user_id": 100 + np.flatnonzero(rows), "score_orig": prob[rows, 0]}
        for m in range(1, 6):
            columns |= {f"score_ref_{m - 1}": prob[rows, m], f"member_ref_{m - 1}": found.member[rows, m]}
        _write(path / name, columns, as_csv)
    columns = {"score_orig": outside[:, 0]}
    for m in range(1, 6):
        columns |= {f"score_ref_{m - 1}": outside[:, m], f"member_ref_{m - 1}": np.zeros(len(outside), dtype=bool)}
    _write(path / "df_population", columns, as_csv)


def _write(path: Path, columns: dict[str, np.ndarray], as_csv: bool) -> None:
    if as_csv:
        csv.write_csv(pa.table(columns), f"{path}.csv")
    else:
        parquet.write_table(pa.table(columns), f"{path}.parquet")
