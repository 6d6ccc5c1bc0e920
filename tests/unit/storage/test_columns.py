"""Columns: the bytes that numpy.save writes, a hash beside them, and the same values back, in memory or mapped."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pytest

from raymeter.errors import StoreError
from raymeter.storage import columns
from raymeter.storage.columns import load_column, save_column, write_array
from raymeter.storage.run_store import RunStore

RNG = np.random.default_rng(0)
WHOLE = RNG.normal(size=(2, 7, 3, 4)).astype(np.float32)  # kinds, records, models, queries
LOGITS = RNG.normal(size=(7, 3, 4, 5)).astype(np.float32)  # records, models, queries, classes
ARRAYS = {
    "signals": np.ascontiguousarray(WHOLE[:, :, 1]),
    "a view of a frame": WHOLE[:, :, 1],
    "a view of logits": LOGITS[:, 1],
    "logits of one record": LOGITS[:1, 1],
    "transposed": WHOLE[:, :, 1].T,
    "predictions in double precision": RNG.normal(size=(7, 2, 2)),
    "a mask": (RNG.random((7, 4)) < 0.5).T,
    "one axis, two entries": np.arange(2),
    "no records": np.zeros((2, 0, 1), np.float32),
}


@pytest.fixture
def store(tmp_path):
    return RunStore.at(str(tmp_path / "run"))


def numpy_bytes(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()


@pytest.mark.parametrize("records_at_once", [1, 3, 262_144])
@pytest.mark.parametrize("name", ARRAYS)
def test_bytes_are_those_of_numpy_save(store, monkeypatch, name, records_at_once):
    """Stored audits of earlier versions were written with numpy.save: the same values give the same file."""
    monkeypatch.setattr(columns, "RECORDS_AT_ONCE", records_at_once)
    digest = write_array(store, "signals/a.npy", ARRAYS[name])
    expected = numpy_bytes(ARRAYS[name])
    assert store.read("signals/a.npy") == expected
    assert digest == hashlib.sha256(expected).hexdigest()


def test_golden_column(store):
    """The very files of the version before: a column is found again only if nothing of them changes."""
    save_column(store, "c", np.arange(12, dtype=np.float32).reshape(2, 3, 2), {"model": 1, "part": "audit"})
    golden = "827148bac8ea8d2f764d4f4b6d8ab419947b6d3c62e9c450a258cd56fcc79e15"
    assert hashlib.sha256(store.read("signals/c.npy")).hexdigest() == golden
    manifest = f'{{\n  "model": 1,\n  "part": "audit",\n  "sha256": "{golden}"\n}}\n'
    sealed = store.read("signals/c.json").decode()
    seal = "raymeter-1-" + hashlib.sha256(b"signals/c.json\n" + manifest.encode()).hexdigest()
    assert sealed == manifest.replace('",\n  "sha256"', f'",\n  "seal": "{seal}",\n  "sha256"')
    store.write("signals/c.json", manifest.encode())  # as earlier versions wrote it
    assert load_column(store, "c") is not None


@pytest.mark.parametrize("mapped", [False, True])
def test_column_round_trip_and_damage(store, mapped):
    """Signals come back bit for bit; without a manifest, or altered, they count as missing."""
    values = np.random.default_rng(0).normal(size=(2, 5, 2)).astype(np.float32)
    save_column(store, "c", values, {"model": 1})
    assert json.loads(store.read("signals/c.json"))["model"] == 1
    np.testing.assert_array_equal(load_column(store, "c", mapped=mapped), values)
    data = store.read("signals/c.npy")
    store.write("signals/c.npy", data[:-4] + b"abcd")
    assert load_column(store, "c", mapped=mapped) is None
    store.write("signals/c.npy", data)
    store.write("signals/c.json", b"{")
    assert load_column(store, "c", mapped=mapped) is None
    store.delete("signals/c.json")
    assert load_column(store, "c", mapped=mapped) is None
    save_column(store, "c", values, {"model": 1})
    store.delete("signals/c.npy")
    assert load_column(store, "c", mapped=mapped) is None


@pytest.mark.parametrize("mapped", [False, True])
def test_a_column_that_cannot_be_read_is_one_line(store, tmp_path, mapped):
    """A directory in its place, say; it was a traceback where columns are mapped."""
    save_column(store, "c", np.zeros((2, 1, 1), np.float32), {})
    (tmp_path / "run" / "signals" / "c.npy").unlink()
    (tmp_path / "run" / "signals" / "c.npy").mkdir()
    with pytest.raises(
        StoreError,
        match=r"signals/c.npy cannot be read \(it is a directory, and a file is needed\); choose another run.log_dir",
    ):
        load_column(store, "c", mapped=mapped)


def test_a_column_in_the_place_of_another_is_not_used(store):
    """With its manifest it had the right hash: another model's signals under this one's name."""
    for key, value in (("a", 0.0), ("b", 1.0)):
        save_column(store, key, np.full((2, 3, 1), value, np.float32), {"model": 1})
    for suffix in ("npy", "json"):
        store.write(f"signals/a.{suffix}", store.read(f"signals/b.{suffix}"))
    said = []
    assert load_column(store, "a", say=said.append) is None
    assert said == [f"{store.name}/signals/a.json is damaged (its hash is wrong); it is not used"]


def test_a_column_must_be_of_what_is_asked_for(store):
    """Model, weights, records and data, as far as a manifest says them; earlier versions' say less."""
    save_column(store, "a", np.zeros((2, 3, 1), np.float32), {"model": 1, "data": "x"})
    said = []
    assert load_column(store, "a", about={"model": 1, "data": "x", "members": "y"}) is not None
    assert load_column(store, "a", about={"model": 1, "data": "z"}, say=said.append) is None
    assert said == [f"{store.name}/signals/a.json is of another data; it is not used"]
