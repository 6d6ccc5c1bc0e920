"""Every file of a run directory, deleted, cut, flipped and swapped: the same figures after resuming, or one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from audits import small_config

from raymeter.data import load_dataset
from raymeter.errors import RaymeterError, StoreError
from raymeter.models import build_model
from raymeter.pipeline.checks import make_audit_split
from raymeter.pipeline.open_result import load_side
from raymeter.pipeline.provenance import identity
from raymeter.pipeline.stage_settings import signal_plan
from raymeter.schema.model_record import ModelRecord, Origin
from raymeter.schema.origins import origins_of
from raymeter.schema.reporter import Silent
from raymeter.schema.signals import Signals
from raymeter.signals.compute import compute_signals
from raymeter.signals.frame import Frame, about_column, column_keys, load_stored, matrices_of
from raymeter.signals.records import gather_records
from raymeter.signals.stored import load_signals, save_index
from raymeter.storage.columns import save_column
from raymeter.storage.local_files import sha256
from raymeter.storage.model_store import ModelStore, weights_path
from raymeter.storage.run_store import IDENTITY, RunStore
from raymeter.storage.witnesses import restored_identity

SHAPE, CLASSES = (1, 8, 8), 10
OLD_SEEDS, NEW_SEEDS = 0, 7


@cache
def designed(seed: int) -> tuple[Any, ...]:
    """What a configuration decides: two pairs, and the few records that there must be."""
    data = {"dataset": "digits", "pool_size": 40 + 2 * seed}
    config = small_config(Path("run"), data=data, audit={"num_ref_models": 1, "population_size": 30, "batch_size": 100})
    dataset = load_dataset(config.data_spec())
    split = make_audit_split(config, dataset)
    origins = origins_of(dataset, split, config.train.recipe())
    parts = gather_records(dataset, split)
    return identity(config, dataset), origins, split, parts, signal_plan(config, dataset, split)


@dataclass
class Audit:
    """An audit up to its signals, without Ray: models are drawn and not trained, which no store can tell."""

    path: Path
    seed: int = OLD_SEEDS
    trained: list[int] = field(default_factory=list)
    said: Silent = field(default_factory=Silent)

    @property
    def store(self) -> RunStore:
        return RunStore.at(str(self.path))

    def resume(self) -> Signals:
        """What an audit does with its directory, in the same order."""
        about, origins, split, parts, plan = designed(self.seed)
        if line := restored_identity(self.store, about, origins):
            self.said.note(line)
            self.store.write_sealed(IDENTITY, about)
        self.store.claim(about)
        models = [self._model(index, origin) for index, origin in origins.items()]
        keys, frame = column_keys(plan, parts, models), Frame.empty(plan, parts, len(models), self.store)
        for position in load_stored(frame, keys, plan, parts, models, self.store, self.said.note):
            record, network = models[position], build_model("mlp", SHAPE, CLASSES)
            network.load_state_dict(ModelStore(self.store).read_weights(record))
            for part in parts:
                block = compute_signals([network], part.x, part.y, plan.views, torch.device("cpu"))
                frame.column("signals", part, position)[...] = block.values[:, :, 0]
                about = about_column("signals", plan, part, record)
                save_column(self.store, keys["signals", part.part, record.index], block.values[:, :, 0], about)
        signals = Signals(*(matrices_of(frame, part, split) for part in parts))
        named = {part.part: [keys["signals", part.part, model.index] for model in models] for part in parts}
        save_index(self.store, signals, named, plan.config)
        return signals

    def _model(self, index: int, origin: Origin) -> ModelRecord:
        record, reason = ModelStore(self.store).load(index, origin)
        if record is not None:
            return record
        if reason:
            self.said.note(reason)
        self.trained.append(index)
        torch.manual_seed(origin.seed % 2**31)
        weights = safetensors.torch.save(build_model("mlp", SHAPE, CLASSES).state_dict())
        made = {"data": origin.data, "members": origin.members}
        figures = (1.0, 0.5, 0.1, 1.0, 2.0)
        record = ModelRecord(
            index, origin.seed, weights_path(index), sha256(weights), origin.recipe, *figures, started=1.5, **made
        )
        return ModelStore(self.store).save(record, weights)


def figures(signals: Signals) -> list[np.ndarray]:
    """Everything that a figure could come from."""
    return [
        array
        for matrices in (signals.audit, signals.population)
        for matrix in matrices.values()
        for array in (matrix.values, matrix.member, matrix.reference, matrix.targets, matrix.ids, matrix.labels)
    ]


def same(one: Signals, other: Signals) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(figures(one), figures(other), strict=True))


@pytest.fixture(scope="module", autouse=True)
def without_waiting_for_the_disk():
    """Files are written hundreds of times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda handle: None)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Signals]:
    """A run directory, and its signals."""
    path = tmp_path_factory.mktemp("finished") / "run"
    return path, Audit(path).resume()


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """The run directory of an audit of other data."""
    path = tmp_path_factory.mktemp("other") / "run"
    Audit(path, NEW_SEEDS).resume()
    return path


@pytest.fixture
def copy(finished, tmp_path) -> Audit:
    """A copy of the finished directory."""
    shutil.copytree(finished[0], tmp_path / "run")
    return Audit(tmp_path / "run")


def files(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def flips(data: bytes) -> Iterator[bytes]:
    """A bit here and there: in the first and last bytes, and in some between."""
    for position in sorted({0, len(data) // 2, len(data) - 2}):
        yield data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]


def damages(data: bytes) -> Iterator[bytes | None]:
    """Deleted, emptied, cut and flipped."""
    yield None
    yield b""
    yield data[: len(data) // 2]
    yield from flips(data)


def put(path: Path, data: bytes | None) -> None:
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)


def believed(audit: Audit, undisturbed: Signals) -> None:
    """Whoever reads the directory as it is, and who resumes: the same, or one line."""
    for read in (lambda: load_signals(audit.store).signals, lambda: load_side(audit.path, "a").signals, audit.resume):
        try:
            found = read()
        except RaymeterError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert same(found, undisturbed)


def test_a_finished_directory_is_reused_as_a_whole(copy, finished):
    """Nothing is trained, nothing is said."""
    assert same(copy.resume(), finished[1])
    assert (copy.trained, copy.said.lines) == ([], [])


def test_every_file_deleted_cut_and_flipped(copy, finished):
    """All end in the undisturbed figures, or in one line; in the end the directory is whole again."""
    for name in files(copy.path):
        whole = (copy.path / name).read_bytes()
        for damage in damages(whole):
            put(copy.path / name, damage)
            believed(copy, finished[1])
            put(copy.path / name, whole)
        assert same(copy.resume(), finished[1]), name


def test_every_file_in_the_place_of_another(copy, other, finished):
    """Of the same directory, and of one with other data: nothing is taken for what it is not."""
    mine, others = (sorted(files(path), key=lambda name: (Path(name).suffix, name)) for path in (copy.path, other))
    for name, twin, counterpart in zip(mine, [*mine[1:], mine[0]], others, strict=True):
        whole = (copy.path / name).read_bytes()
        for source in (copy.path / twin, other / counterpart):
            put(copy.path / name, source.read_bytes())
            believed(copy, finished[1])
            put(copy.path / name, whole)
        assert same(copy.resume(), finished[1]), name


def pairs(copy: Audit) -> list[tuple[str, str]]:
    """A column with its manifest, or weights with their marker, by what they are called without their ends."""
    stems = sorted({name.rpartition(".")[0] for name in files(copy.path)})
    both = [stem for stem in stems if (copy.path / f"{stem}.json").exists() and "model_" in stem]
    return [(one, two) for one, two in pairwise(both) if one.partition("/")[0] == two.partition("/")[0]]


def test_a_file_together_with_what_vouches_for_it(copy, finished):
    """A column was swapped together with its manifest: it had the right hash."""
    for one, two in pairs(copy):
        ends = (".json", ".npy" if (copy.path / f"{one}.npy").exists() else ".safetensors")
        whole = {end: (copy.path / (one + end)).read_bytes() for end in ends}
        for end in ends:
            put(copy.path / (one + end), (copy.path / (two + end)).read_bytes())
        believed(copy, finished[1])
        for end, data in whole.items():
            put(copy.path / (one + end), data)
    assert same(copy.resume(), finished[1])


def test_only_what_is_damaged_is_made_again_and_named(copy, finished):
    """A marker costs its model, a column its signals."""
    column = next((copy.path / "signals").glob("audit_model_2_*.npy"))
    for name in ("models/model_1.json", f"signals/{column.name}"):
        put(copy.path / name, (copy.path / name).read_bytes()[:-3])
    assert same(copy.resume(), finished[1])
    assert copy.trained == [1]
    assert [line.rpartition("/")[2] for line in copy.said.lines] == [
        "model 1: its marker is damaged",
        f"{column.name} is altered (its hash is wrong); it is not used",
    ]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{")])
def test_models_of_other_data_are_not_believed_without_run_json(copy, damage):
    """The line about a damaged run.json once said to delete it: then other data were "4 reused"."""
    damage(copy.path / "run.json")
    before = {name: (copy.path / name).read_bytes() for name in files(copy.path)}
    with pytest.raises(StoreError, match=r"model 0 is of a different audit: data was \w{16}, now \w{16}\. Choose"):
        Audit(copy.path, NEW_SEEDS).resume()
    assert {name: (copy.path / name).read_bytes() for name in files(copy.path)} == before
    copy.resume()
    assert copy.trained == []
    assert (
        copy.said.lines[0].startswith("run.json was ")
        and "4 models say that they are of these data" in copy.said.lines[0]
    )


def earlier(audit: Audit) -> None:
    """The directory as versions before seals wrote it."""
    for name in files(audit.path):
        if not name.endswith(".json"):
            continue
        plain = {key: value for key, value in audit.store.read_json(name).items() if key != "seal"}
        if name.startswith("models/"):
            plain = {key: value for key, value in plain.items() if key not in ("data", "members")}
        elif name == "signals/index.json":
            plain = {key: value for key, value in plain.items() if key not in ("hashes", "run")}
        elif name != "run.json":
            plain = {key: plain[key] for key in ("model", "weights", "part", "views", "sha256")}
        audit.store.write_json(name, plain)


def test_a_directory_of_an_earlier_version_is_reused_and_told(copy, finished):
    """Nothing is trained for want of a hash; the markers get theirs, and the next start says nothing."""
    earlier(copy)
    assert same(load_signals(copy.store).signals, finished[1])
    signals = copy.resume()
    assert same(signals, finished[1]) and copy.trained == []


def test_models_of_an_earlier_version_are_not_believed_without_run_json(copy):
    """Nothing says which data they are of."""
    earlier(copy)
    (copy.path / "run.json").unlink()
    with pytest.raises(
        StoreError, match=r"run\.json is missing, and model 0 is of an earlier version, .*put run\.json"
    ):
        copy.resume()


@pytest.mark.parametrize("key", ["architecture", "weights", "sha256", "recipe", "node"])
@pytest.mark.parametrize("has_seal", [False, True])
def test_no_name_in_a_marker_is_imported(copy, finished, monkeypatch, key, has_seal):
    """A file below the working directory and one edited JSON ran code in the next audit, with equal figures."""
    (copy.path.parent / "evil_of_marker.py").write_text("raise SystemExit('code of a run directory was run')\n")
    monkeypatch.syspath_prepend(str(copy.path.parent))
    path = "models/model_0.json"
    marker = {name: value for name, value in copy.store.read_json(path).items() if name != "seal"}
    write: Callable[[str, Any], None] = copy.store.write_sealed if has_seal else copy.store.write_json
    write(path, {**marker, key: "evil_of_marker:build"})
    assert same(copy.resume(), finished[1])
    assert json.loads((copy.path / path).read_text())["architecture"] == ""
