"""Edited code is noticed before anything that it made is reused; the files are named."""

from __future__ import annotations

import hashlib

import pytest

from raymeter.config.load import build_config
from raymeter.errors import StoreError
from raymeter.pipeline.code_check import check_code
from raymeter.pipeline.stage_settings import target_code
from raymeter.signals.targets.answers import Answers
from raymeter.signals.targets.weights import WEIGHTS
from raymeter.storage.code_book import CODE, CodeBook
from raymeter.storage.run_store import RunStore

MODEL = "import layers_of_check\n\n\ndef build(shape, classes): ...\n"
TARGET = {"members": "m.npy", "weights": "t.pt", "model": "model_of_check:build"}
ASKED = {"members": "m.npy", "query": "model_of_check:build"}
OWN = {"model": "model_of_check:build", "fit": "fit_of_check:fit"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's files: a model that imports its layers, and a training function."""
    (tmp_path / "model_of_check.py").write_text(MODEL)
    (tmp_path / "layers_of_check.py").write_text("SCALE = 1\n")
    (tmp_path / "fit_of_check.py").write_text("def fit(model, x, y): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def config_of(folder, target=None, **train):
    sections = {"run": {"log_dir": str(folder / "run")}, "train": train, "audit": {"attacks": ["loss"]}}
    if target is not None:
        sections["audit"]["target"] = target
    return build_config(sections)


def started(config, train=None):
    """Check and claim, as an audit does; returns what was said."""
    store, said = RunStore.at(config.run.log_dir), []
    found = check_code(config, 2, store, said.append)
    if store.read("run.json") is None:
        train = {"model": config.train.model_name, "fit": config.train.fit, **(train or {})}
        store.write_json("run.json", {"train": train})
        store.write_json("models/model_3.json", {})
    CodeBook(store).remember(found)
    return said


def of_an_earlier_version(config, run):
    """A directory with a model and without code.json."""
    RunStore.at(config.run.log_dir).write_json("run.json", run)
    RunStore.at(config.run.log_dir).write_json("models/model_0.json", {})


def edit(folder, name="layers_of_check.py"):
    path = folder / name
    path.write_text(path.read_text() + "# edited\n")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("layers_of_check.py", "train.model_name model_of_check:build"),
        ("model_of_check.py", "train.model_name model_of_check:build"),
        ("fit_of_check.py", "train.fit fit_of_check:fit"),
    ],
)
def test_models_of_edited_code_are_refused(folder, name, key):
    """The function's own file, what it imports, and the training function; put back, it is accepted again."""
    config = config_of(folder, **OWN)
    assert started(config) == started(config) == []
    text = (folder / name).read_text()
    edit(folder, name)
    with pytest.raises(StoreError) as error:
        started(config)
    place = folder / "run"
    assert str(error.value).startswith(
        f"{place} holds models of other code: {key}: {name} has changed. Put that back, "
    )
    assert (f"delete {place / CODE}" in str(error.value)) == (name == "layers_of_check.py")
    (folder / name).write_text(text)
    assert started(config) == []


def test_the_code_of_a_target_is_part_of_its_signals(folder):
    """An edit of its model once left all stored signals and figures as they were."""
    config = config_of(folder, TARGET)
    assert started(config) == []
    before = target_code(config)
    edit(folder)
    assert started(config) == [
        "audit.target.model: model_of_check:build: layers_of_check.py has changed since signals of the target were "
        "stored; they are computed anew"
    ]
    assert target_code(config) != before
    assert started(config) == []


def test_answers_of_edited_code_are_refused(folder):
    """They are paid for, so they are neither believed nor asked for again without a word."""
    config = config_of(folder, ASKED)
    assert started(config) == []
    edit(folder)
    assert started(config) == []  # nothing was asked yet
    Answers(RunStore.at(config.run.log_dir), ASKED["query"], 2).count_sent(1)
    edit(folder)
    with pytest.raises(StoreError) as error:
        started(config)
    assert "audit.target.query: model_of_check:build has stored answers, which are of other code" in str(error.value)
    assert "layers_of_check.py has changed. Put that back, delete " in str(error.value)
    (folder / "run" / CODE).unlink()  # the way out for an edit that changes no answer
    said = started(config)
    assert (
        len(said) == 1
        and "whether layers_of_check.py, model_of_check.py is as when the stored answers were given is not known"
        in said[0]
    )
    assert started(config) == said


def test_a_regressor_of_edited_code_is_fitted_anew(folder):
    """QMIA's own models were the other kind of stored numbers that outlived their code."""
    config = build_config(
        {
            "run": {"log_dir": str(folder / "run")},
            "audit": {"attacks": [{"name": "qmia", "model": "model_of_check:build"}]},
        }
    )
    assert started(config) == []
    edit(folder)
    assert started(config) == [
        "audit.attacks: model_of_check:build: layers_of_check.py has changed since predictions of qmia were stored; "
        "they are computed anew"
    ]


def test_a_directory_of_an_earlier_version_is_believed_aloud(folder):
    """run.json has the hash of the function's own file; of what that imports nothing is known, which is said each time."""
    config = config_of(folder, model=OWN["model"])
    source = hashlib.sha256(MODEL.encode()).hexdigest()
    of_an_earlier_version(config, {"train": {"model": OWN["model"], "model_source": source}})
    said = started(config)
    assert (
        said
        == started(config)
        == [
            "train.model_name: model_of_check:build: whether layers_of_check.py is as when the models were trained is not "
            "known, as no hash was kept then; it is believed, and edits from now on are noticed"
        ]
    )
    edit(folder)
    with pytest.raises(StoreError, match=r"layers_of_check\.py has changed"):
        started(config)


def test_a_directory_of_an_earlier_version_with_another_model_file_is_refused(folder):
    """As before, but with the name of the file."""
    config = config_of(folder, model=OWN["model"])
    of_an_earlier_version(config, {"train": {"model": OWN["model"], "model_source": "0"}})
    with pytest.raises(StoreError, match=r"model_of_check:build: model_of_check\.py has changed\. Put that back"):
        started(config)


def test_signals_and_answers_of_an_earlier_version_are_told(folder):
    """A target's signals are computed anew; answers are believed; both aloud."""
    config, store = config_of(folder, TARGET), RunStore.at(str(folder / "run"))
    store.write_json("run.json", {"train": {}})
    store.write(WEIGHTS, b"")
    assert started(config) == [
        "audit.target.model: model_of_check:build: signals of the target of an earlier version do not say which code "
        "made them; they are computed anew"
    ]
    (folder / "run" / CODE).unlink()
    Answers(store, ASKED["query"], 2).count_sent(1)
    (said,) = started(config_of(folder, ASKED))
    assert "whether layers_of_check.py, model_of_check.py is as when the stored answers were given is not known" in said


def test_another_torch_is_told_and_not_refused(folder):
    """Models of raymeter's own networks outlive it, too; another version of any other package is refused."""
    config = config_of(folder, model=OWN["model"])
    edit(folder, "model_of_check.py")
    started(config)
    store = RunStore.at(config.run.log_dir)
    content = store.read_sealed(CODE, "")
    content[OWN["model"]]["packages"] = {"torch": "0.1"}
    store.write_sealed(CODE, content)
    (said,) = started(config)
    assert said == (
        "train.model_name: since the models were trained, torch was 0.1, now not imported: last digits of new ones may "
        "differ"
    )
    content[OWN["model"]]["packages"] = {"timm": "0.1"}
    store.write_sealed(CODE, content)
    with pytest.raises(StoreError, match=r"timm was 0\.1, now not imported"):
        started(config)


def test_models_of_raymeters_own_need_no_code(folder):
    """Nothing is written, nothing is said."""
    assert started(config_of(folder)) == []
    assert not (folder / "run" / CODE).exists()


@pytest.mark.parametrize("left", ["models/model_7.json", "models/model_0.checkpoint.safetensors", None])
def test_a_directory_without_any_model_takes_edited_code(folder, left):
    """An audit that was refused, say, or ended in its first epoch; a checkpoint is a part of a model."""
    config = config_of(folder, **OWN)
    started(config)
    (folder / "run/models/model_3.json").unlink()
    if left is not None:
        (folder / "run" / left).write_bytes(b"")
    edit(folder)
    if left is not None:
        with pytest.raises(StoreError, match=r"layers_of_check\.py has changed"):
            started(config)
    else:
        assert started(config) == started(config) == []
