"""What `same_results.py` runs: every command with its arguments, and the files that they start from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

MINE = '''"""A user's own functions; trains a target to be audited when it is run."""
import os
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

def records(settings=None):
    digits = load_digits()
    return (digits.images * 15).astype(np.uint8), digits.target

def build(shape, classes):
    import raymeter  # also in Ray's workers it must be the one that is recorded
    assert raymeter.__file__.startswith(os.environ["SAME_RESULTS_CHECKOUT"] + os.sep), raymeter.__file__
    return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 64), nn.ReLU(), nn.Linear(64, classes))

def fit(model, x, y, *, seed):
    generator = torch.Generator().manual_seed(seed % 2**63)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(20):
        for rows in torch.randperm(len(x), generator=generator).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()

def predict(asked):
    model = build((8, 8), 10)
    model.load_state_dict(torch.load("target.pt", weights_only=True))
    with torch.inference_mode():
        return model(torch.tensor(asked).float() / 127.5 - 1).softmax(dim=1).numpy()

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(7)
    x, y = records()
    members = np.random.default_rng(7).permutation(len(y))[:300]
    model = build((8, 8), 10)
    fit(model, torch.tensor(x[members]).float() / 127.5 - 1, torch.tensor(y[members]), seed=7)
    torch.save(model.state_dict(), "target.pt")
    np.save("members.npy", members)
    np.savez("digits.npz", x=x, y=y)
'''
SMALL = {"dataset": "digits", "pool_size": 400}
ADAM = {"optimizer": "Adam", "learning_rate": 0.003, "batch_size": 32, "epochs": 20}
ALL_ATTACKS = [
    "loss",
    {"name": "loss", "label": "loss_confidence", "form": "confidence"},
    "entropy",
    {"name": "entropy", "label": "entropy_plain", "form": "plain"},
    "population",
    "empirical",
    "calibrated",
    {"name": "calibrated", "label": "sablayrolles", "form": "sablayrolles"},
    "lira",
    {"name": "lira", "label": "lira_offline", "mode": "offline", "variance": "pooled"},
    {"name": "lira", "label": "lira_global", "variance": "global"},
    "rmia",
    {"name": "rmia", "label": "rmia_online", "mode": "online"},
    {"name": "rmia", "label": "rmia_count", "form": "count", "gamma": 2.0},
    {"name": "rmia", "label": "rmia_tuned", "offline_a": "tuned", "temperature": "tuned"},
    {"name": "rmia", "label": "rmia_taylor", "taylor": 4, "margin": 0.6, "temperature": 2.0},
    "base",
    {"name": "base", "label": "base_offline", "mode": "offline"},
    {"name": "qmia", "epochs": 5},
    {"name": "qmia", "label": "qmia_pinball", "head": "pinball", "model": "cnn", "epochs": 5},
    "stack",
]
TARGET = {"num_ref_models": 2, "views": ["identity"], "population_size": 300}
AUDITS: dict[str, dict[str, Any]] = {  # besides the demo
    "attacks": {
        "audit": {"num_ref_models": 3, "population_size": 300, "groups": "groups.csv", "attacks": ALL_ATTACKS},
        "train": {"model_name": "cnn", "augment": "mirror_crop", "ema": 0.9, **ADAM, "optimizer": "AdamW", "epochs": 6},
        "data": SMALL,
    },
    "weights": {
        "audit": {**TARGET, "target": {"weights": "target.pt", "members": "members.npy"}},
        "train": {"model": "mine:build", "schedule": "constant", **ADAM},
        "data": {"dataset": "arrays", "path": "digits.npz", "pool_size": 600},
    },
    "asked": {
        "audit": {**TARGET, "target": {"query": "mine:predict", "members": "members.npy"}},
        "train": {"model": "mine:build", "fit": "mine:fit"},
        "data": {"dataset": "mine:records", "pool_size": 600},
    },
    "streamed": {
        "audit": {"num_ref_models": 1, "population_size": 300, "attacks": ["loss", "rmia", "lira", "calibrated"]},
        "train": {"model_name": "mlp", "workers_per_model": 2, **ADAM, "epochs": 3},
        "data": {"dataset": "arrays", "path": "records", "pool_size": 400, "in_memory_limit": 20_000},
    },
}
SWEEP = {
    "run": {"log_dir": "demo_sweep"},
    "sweep": {
        "name": "grid",
        "metric": "tpr@0.01",
        "block": 4,
        "space": [
            {"attack": "loss"},
            {"attack": "rmia", "offline_a": [0.2, 0.5], "references": [1, 2], "population": [100, 599]},
            {"attack": "rmia", "form": ["count"], "gamma": [1.0, 2.0], "mode": ["offline", "online"]},
            {"attack": "lira", "variance": ["nig", "global"], "mode": ["online", "offline"]},
        ],
    },
}
FORMATS = ("privacy-meter", "lira", "lira-analysis", "leakpro", "privacyguard", "arrays")
VERBS = ("audit", "sweep", "score", "import", "export", "explain-difference", "report", "compare", "doctor")
API = """import numpy as np, raymeter, raymeter.attacks, raymeter.stats
for module in (raymeter, raymeter.attacks, raymeter.stats): print(module.__name__, sorted(module.__all__))
rng = np.random.default_rng(0)
half = rng.random((200, 4)) < 0.5
member = np.stack([half, ~half], axis=2).reshape(200, 8)
gap = (rng.normal(size=(200, 8, 1)) + member[:, :, None]).astype(np.float32)
scores = raymeter.attacks.lira_scores(raymeter.SignalMatrix("logit_gap", gap, member))
print(scores.values.tolist(), raymeter.stats.auc_interval(scores.values[:, 0], scores.member[:, 0]))
print(callable(raymeter.audit))
"""


@dataclass(frozen=True)
class Step:
    """One command: its name in the record, a verb (or a whole `python` call) with its arguments, its exit code."""

    name: str
    arguments: tuple[str, ...]
    code: int = 0
    copied: tuple[str, str] | None = None  # a run directory, copied to a new name before


def step(line: str, *more: str, name: str = "", code: int = 0, copied: str = "") -> Step:
    """A step from a line of words; `more` are arguments with blanks in them."""
    words = (*line.split(), *more)
    source, _, copy = copied.partition(" ")
    label = name or "_".join(word for word in words if not word.startswith("-") and word != "raymeter")
    return Step(label, words, code, (source, copy) if copied else None)


def steps() -> Iterator[Step]:
    """Everything that is recorded, in this order."""
    yield Step("help", ("raymeter", "--help"))
    yield from (Step(f"help_{verb}", ("raymeter", verb, "--help")) for verb in VERBS)
    yield from (Step(f"help_module_{m}", ("python", "-m", f"raymeter.{m}", "--help")) for m in ("audit", "sweep"))
    yield Step("api", ("python", "-c", API))
    yield from (audit_step(name) for name in ("demo", *AUDITS))
    yield step("raymeter audit demo.yaml --dry-run", name="dry_run")
    yield step("raymeter audit demo.yaml audit.num_ref_model=3", name="unknown_key", code=2)
    more = ("run.log_dir=demo_more", "audit.num_ref_models=8")
    yield Step("demo_more", (*audit_step("demo").arguments, *more), copied=("demo", "demo_more"))
    yield step("python -m raymeter.sweep sweep.yaml", name="sweep", copied="demo demo_sweep")
    yield step("raymeter score scores.parquet --out score_table --seed 3")
    yield step("raymeter score losses.csv --lower-means-member --common-records --out score_losses")
    signals = "--members who.npy --population population.npy"
    yield step(
        f"raymeter score --signals signals.npy {signals} --ids ids.npy --out score_signals", name="score_signals"
    )
    logits = (
        "raymeter score --signals logits.npy --kind logits --labels labels.npy --members who.npy --out score_logits"
    )
    attacks = ("--attacks", "[loss, entropy, {name: lira, mode: offline}]", "--fail-if", "loss.auc.low > 0.1")
    yield step(logits, *attacks, name="score_logits", code=3)
    yield step("raymeter score demo --out score_demo", "--attacks", "[loss, rmia, lira]", name="score_demo")
    for form in FORMATS:
        yield step(f"raymeter export attacks --format {form} --out to_{form}")
        source = f"to_{form}/signals.npz" if form == "arrays" else f"to_{form}"
        yield step(f"raymeter import {source} --format {form} --out from_{form}", name=f"import_{form}")
    yield step("raymeter export demo --format privacyguard --target 2 --out to_target")
    yield from (step(f"raymeter score from_{form} --out score_{form}") for form in ("lira", "privacyguard"))
    yield step("raymeter compare demo demo_more --json")
    yield step("raymeter compare demo attacks --html compared.html")
    pairs = (
        "demo demo_more",
        "demo attacks",
        "demo score_demo",
        "from_lira from_privacy-meter",
        "score_table scores.parquet",
    )
    yield from (step(f"raymeter explain-difference {pair} --json") for pair in pairs)
    yield step("raymeter explain-difference demo score_demo", name="explained")
    yield step("raymeter explain-difference demo scores.parquet", code=2)  # other memberships
    yield step(
        "raymeter report demo_again --fail-if", "rmia.auc.low > 0.1", name="report", code=3, copied="demo demo_again"
    )


def audit_step(name: str) -> Step:
    """An audit by its module, as the README has it."""
    return Step(name, ("python", "-m", "raymeter.audit", f"{name}.yaml"))


def write_inputs(out: Path, checkout: Path) -> None:
    """Configurations, and files of random numbers from a fixed seed; compared too, so that both sides had the same."""
    shutil.copy(checkout / "configs/demo.yaml", out / "demo.yaml")
    (out / "mine.py").write_text(MINE)
    for name, sections in AUDITS.items():
        (out / f"{name}.yaml").write_text(json.dumps({"run": {"log_dir": name}, **sections}, indent=1))
    (out / "sweep.yaml").write_text(json.dumps(SWEEP, indent=1))
    rng = np.random.default_rng(0)
    half = rng.random((400, 3)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(400, 6)
    labels = rng.integers(0, 5, 400)
    logits = rng.normal(size=(400, 6, 1, 5)).astype(np.float32)
    logits[np.arange(400), :, :, labels] += 1.0 + member[:, :, None]
    gap = 2 * rng.normal(size=(400, 1)) + rng.normal(size=(400, 6)) + member
    outside = -np.log1p(np.exp(-2 * rng.normal(size=(150, 1)) - rng.normal(size=(150, 6))))
    arrays = {"logits": logits, "labels": labels, "who": member, "ids": np.arange(400) * 3 + 1}
    for name, array in {**arrays, "signals": -np.log1p(np.exp(-gap)), "population": outside}.items():
        np.save(out / f"{name}.npy", array)
    columns = {"id": np.repeat(np.arange(400), 6), "target": np.tile(np.arange(6), 400), "member": member.ravel()}
    table = pa.table({**columns, "score": gap.ravel(), "group": [f"group {i // 6 % 4}" for i in range(2400)]})
    parquet.write_table(table, out / "scores.parquet")
    losses = pa.table({**columns, "member": member.ravel().astype(int), "score": -gap.ravel()})
    csv.write_csv(losses.slice(1), out / "losses.csv")  # so that one target lacks a record
    csv.write_csv(pa.table({"id": np.arange(400), "group": [f"g{i % 3}" for i in range(400)]}), out / "groups.csv")
    (out / "records").mkdir()
    for part in range(2):
        x = pa.array(list(rng.normal(size=(400, 12)).astype(np.float32)))
        parquet.write_table(pa.table({"x": x, "y": rng.integers(0, 4, 400)}), out / f"records/part_{part}.parquet")
