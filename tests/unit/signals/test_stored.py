"""Signals come back from a run directory as they were, or the error says what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymeter.errors import StoreError
from raymeter.schema import Signals
from raymeter.schema.signals import KINDS
from raymeter.signals.stored import assemble, load_signals, save_index
from raymeter.storage.columns import save_column
from raymeter.storage.run_store import RunStore
from raymeter.training.split import pair_reference

CONFIG = {"run": {"log_dir": "x", "random_seed": 3}, "audit": {"attacks": [{"name": "rmia", "offline_a": 0.3}]}}


def stored(path, logits: bool = True) -> tuple[RunStore, Signals]:
    """A store with the columns of four models and their index."""
    rng, store = np.random.default_rng(0), RunStore.at(str(path))
    half = rng.random((6, 2)) < 0.5
    member = np.stack([half, ~half], axis=2).reshape(6, 4)
    columns, found = {}, {}
    for part, records in (("audit", 6), ("population", 3)):
        values = [-rng.random((len(KINDS), records, 2), dtype=np.float32) for _ in range(4)]
        kept = [rng.random((records, 2, 5), dtype=np.float32) for _ in range(4)]
        for prefix, arrays in (("", values), ("logits_", kept)) if logits else (("", values),):
            columns[prefix + part] = [f"{prefix}{part}_{m}" for m in range(4)]
            for key, array in zip(columns[prefix + part], arrays, strict=True):
                save_column(store, key, array, {})
        masks = {"reference": pair_reference(4), "targets": np.arange(4), "ids": np.arange(records) + 10}
        masks["labels"] = rng.integers(0, 5, records)
        side = member if part == "audit" else np.zeros((records, 4), dtype=bool)
        found[part] = assemble(values, side, **masks)
        found["logits_" + part] = np.stack(kept, axis=1) if logits else None
    signals = Signals(found["audit"], found["population"], found["logits_audit"], found["logits_population"])
    save_index(store, signals, columns, CONFIG)
    return store, signals


@pytest.mark.parametrize("logits", [True, False])
def test_signals_come_back_as_they_were(tmp_path, logits):
    """Values, masks, ids, labels, logits and the configuration."""
    store, before = stored(tmp_path, logits)
    found = load_signals(store)
    assert found.config == CONFIG
    for part in ("audit", "population"):
        for kind in KINDS:
            one, other = getattr(before, part)[kind], getattr(found.signals, part)[kind]
            for name in ("values", "member", "reference", "targets", "ids", "labels"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    if logits:
        np.testing.assert_array_equal(found.signals.population_logits, before.population_logits)
    else:
        assert found.signals.audit_logits is None


def test_an_unchanged_index_is_left_alone(tmp_path):
    """A second audit of the same signals writes nothing; another configuration does."""
    store, signals = stored(tmp_path, logits=False)
    index = tmp_path / "signals/index.json"
    before = index.stat().st_mtime_ns
    columns = {part: [f"{part}_{m}" for m in range(4)] for part in ("audit", "population")}
    save_index(store, signals, columns, CONFIG)
    assert index.stat().st_mtime_ns == before
    save_index(store, signals, columns, {**CONFIG, "train": {}})
    assert load_signals(store).config["train"] == {}


def test_what_is_missing_or_altered_is_named(tmp_path):
    """No index, altered masks and a missing column are errors with a remedy."""
    with pytest.raises(StoreError, match="holds no signals; run `python -m raymeter.audit` with this run.log_dir"):
        load_signals(RunStore.at(str(tmp_path / "empty")))
    store, _ = stored(tmp_path)
    (tmp_path / "signals/audit_2.npy").unlink()
    with pytest.raises(StoreError, match="signals/audit_2.npy is missing or altered; run the audit again"):
        load_signals(store)
    (tmp_path / "signals/masks.npz").write_bytes(b"x")
    with pytest.raises(StoreError, match="masks.npz is missing or altered"):
        load_signals(store)


def test_another_version_is_refused(tmp_path):
    """An index that was written by another version says so."""
    store, _ = stored(tmp_path)
    index = store.read_sealed("signals/index.json", "")
    store.write_sealed("signals/index.json", {**index, "version": 0})
    with pytest.raises(StoreError, match="was written by another version"):
        load_signals(store)


def test_masks_change_the_index(tmp_path):
    """The same columns with another reference mask are another index."""
    store, signals = stored(tmp_path, logits=False)
    fewer = np.zeros_like(pair_reference(4))
    changed = {kind: replace(matrix, reference=fewer) for kind, matrix in signals.audit.items()}
    columns = {part: [f"{part}_{m}" for m in range(4)] for part in ("audit", "population")}
    save_index(store, replace(signals, audit=changed), columns, CONFIG)
    assert not load_signals(store).signals.audit["log_prob"].reference.any()
