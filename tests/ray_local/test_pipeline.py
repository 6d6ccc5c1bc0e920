"""Training and signal collection on a local Ray: the same bits whatever happened on the way."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from audits import assert_same_bits, serial_signals, signals_of, small_config, stored_audit
from rich.console import Console

from raymeter.attacks import ATTACKS, Qmia, Rmia, Stack
from raymeter.attacks.common.logit_signals import log_prob_from
from raymeter.config.load import build_config
from raymeter.data import load_dataset
from raymeter.distributed import attack_tasks as scoring
from raymeter.distributed.session import connected
from raymeter.distributed.signals import collect as collect_module
from raymeter.distributed.signals.worker import SignalActor
from raymeter.distributed.training import slots as slots_module
from raymeter.distributed.training import train_references as train_module
from raymeter.errors import RunError, SignalError, StoreError
from raymeter.pipeline.audit import run
from raymeter.pipeline.console import StageConsole
from raymeter.report.verdict import remarks
from raymeter.schema import QuantilePrediction
from raymeter.schema.reporter import Silent
from raymeter.schema.seeds import seed_for
from raymeter.signals.quantile_regressor import PublicRecords, fit_regressor
from raymeter.signals.stored import load_signals
from raymeter.storage.run_store import RunStore


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    """One embedded Ray for the whole module, whose workers find the models in audits.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        yield from connected_ray()


def connected_ray():
    with connected(build_config({"run": {"log_dir": "x"}, "cluster": {"num_cpus": 2}}).cluster):
        yield


@pytest.fixture(scope="module")
def one_slot(tmp_path_factory):
    """Run directory and signals of an undisturbed audit on one slot, whose signals come from an actor."""
    path = tmp_path_factory.mktemp("audit") / "one_slot"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect_module, "suits_driver", lambda *work: False)
        return path, signals_of(small_config(path, cluster={"max_slots": 1}))[0]


@pytest.fixture
def copied(one_slot, tmp_path):
    """A copy of that run directory, to be damaged or continued."""
    shutil.copytree(one_slot[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_two_slots_give_the_same_bits_as_one(one_slot, tmp_path):
    """How many models are trained at once does not change a single signal."""
    signals, lines = signals_of(small_config(tmp_path / "two_slots"))
    assert_same_bits(one_slot[1], signals)
    assert lines == []


@pytest.mark.parametrize("seconds", [60.0, 0.0])
def test_the_driver_gives_the_bits_of_actors(one_slot, copied, monkeypatch, seconds):
    """All blocks, or the first ones before it is known that they would take too long, and the others by actors."""
    shutil.rmtree(copied / "signals")
    done = []
    in_driver = collect_module._compute_in_driver
    monkeypatch.setattr(collect_module, "_compute_in_driver", lambda *work: done.append(in_driver(*work)) or done[0])
    monkeypatch.setattr("raymeter.distributed.signals.in_driver.SECONDS", seconds)
    signals, _ = signals_of(small_config(copied))
    assert_same_bits(one_slot[1], signals)
    assert done == [7 if seconds else 2]  # of 400 and 300 records, 100 in each block


def test_a_table_with_gaps_has_the_signals_of_a_serial_loop(tmp_path):
    """Each model fills and scales by its own members, in a slot as in this process."""
    rng = np.random.default_rng(0)
    rows = [
        f"{rng.normal():.3f},{'' if i % 5 == 0 else i % 9},{'abc'[i % 3]},{'yes' if rng.random() < 0.5 else 'no'}"
        for i in range(200)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,bought", *rows]) + "\n")
    data = {"dataset": "arrays", "path": str(tmp_path / "t.csv"), "label": "bought", "pool_size": 100}
    config = small_config(tmp_path / "run", data=data, train={"model_name": "tabular"}, audit={"population_size": 50})
    signals, _ = signals_of(config)
    assert_same_bits(serial_signals(config), signals)
    assert np.isfinite(signals.audit["logit_gap"].values).all()


def test_second_run_reuses_models_and_signals(one_slot, copied):
    """Nothing is trained or computed again, and the line says so."""
    before = {path: path.stat().st_mtime_ns for path in copied.glob("models/*.safetensors")}
    signals, lines = signals_of(small_config(copied))
    assert_same_bits(one_slot[1], signals)
    assert before == {path: path.stat().st_mtime_ns for path in copied.glob("models/*.safetensors")}
    assert lines == [
        "4 of 4 models are done already and are reused",
        "signals of 4 of 4 models are stored and are reused",
    ]


def test_more_reference_models_train_only_the_missing(one_slot, copied):
    """Going from 4 to 6 models keeps the signals of the first four, bit for bit."""
    signals, lines = signals_of(small_config(copied, audit={"num_ref_models": 2}))
    assert signals.audit["log_prob"].values.shape[1] == 6
    for kind in signals.audit:
        np.testing.assert_array_equal(signals.audit[kind].values[:, :4], one_slot[1].audit[kind].values)
    assert lines == [
        "4 of 6 models are done already and are reused",
        "signals of 4 of 6 models are stored and are reused",
    ]


def test_altered_model_is_trained_again_to_the_same_bits(one_slot, copied):
    """A truncated weights file is found by its hash, named, and trained anew."""
    weights = Path(copied, "models/model_2.safetensors")
    weights.write_bytes(weights.read_bytes()[:-10])
    signals, lines = signals_of(small_config(copied))
    assert "training again model 2: models/model_2.safetensors was truncated or altered (its hash is wrong)" in lines
    assert_same_bits(one_slot[1], signals)


def test_another_recipe_in_the_same_directory_is_refused(copied):
    """A changed learning rate is refused, naming both values."""
    with pytest.raises(StoreError, match=r"train.learning_rate was 0.02, now 0.03"):
        signals_of(small_config(copied, train={"learning_rate": 0.03}))


def test_model_that_raises_is_given_up_with_its_reason(tmp_path):
    """A model whose code raises is tried max_attempts times; the error and its traceback are kept."""
    config = small_config(tmp_path, train={"model_name": "audits:no_such_function", "max_attempts": 2})
    with pytest.raises(RunError) as error:
        signals_of(config)
    assert "could not be trained: ConfigError: train.model_name: cannot load 'audits:no_such_function'" in str(
        error.value
    )
    assert "Traceback" in (tmp_path / "models/model_0.error.txt").read_text()


def test_model_that_exits_is_given_up_with_its_reason(tmp_path):
    """sys.exit in a model's own code ended the worker as if all were done."""
    config = small_config(tmp_path, train={"model_name": "audits:Exits", "max_attempts": 1})
    with pytest.raises(RunError) as error:
        signals_of(config)
    assert "SignalError: train.model_name: audits:Exits called sys.exit(0); have it raise an error" in str(error.value)


@pytest.fixture(scope="module")
def eight_models(tmp_path_factory):
    """Signals of eight models with logits and a regressor's predictions: enough for every attack."""
    signals = load_signals(stored_audit(tmp_path_factory.mktemp("eight"), models=8, records=200)).signals
    rng = np.random.default_rng(0)
    logits = [rng.normal(size=(n, 8, 1, 3)).astype(np.float32) for n in (200, 100)]
    expected = QuantilePrediction("gaussian", rng.normal(size=(200, 8, 1, 2)).astype(np.float32))
    predicted = {Qmia().regressor: expected}
    return replace(signals, audit_logits=logits[0], population_logits=logits[1], predicted=predicted)


def test_a_full_disk_ends_training_once(tmp_path):
    """Every model was trained three times before the audit ended; the line says what there is and what a model takes."""
    config, said = small_config(tmp_path, train={"model_name": "audits:on_a_full_disk", "epochs": 1}), Silent()
    with pytest.raises(RunError) as error:
        signals_of(config, said)
    said_of = re.escape(str(tmp_path))
    pattern = rf"the disk is full: {said_of} has room for [\d.]+ .iB, and the weights of a model take [\d.]+ MiB, of "
    assert re.match(pattern + "which 4 are left; free some space and start the same command again", str(error.value))
    assert not [line for line in said.lines if "retrying" in line]


def test_two_workers_that_train_one_model_do_as_one_does(one_slot, tmp_path):
    """Each takes half of every batch: the signals are those of one worker but for rounding."""
    signals, lines = signals_of(small_config(tmp_path, train={"workers_per_model": 2}, cluster={"max_slots": 1}))
    assert lines == []
    for part, other in ((signals.audit, one_slot[1].audit), (signals.population, one_slot[1].population)):
        np.testing.assert_allclose(part["logit_gap"].values, other["logit_gap"].values, rtol=1e-3, atol=1e-3)
        assert (part["logit_gap"].values != other["logit_gap"].values).any()


def test_audit_goes_on_without_a_model_that_fails_by_itself(tmp_path, monkeypatch):
    """Its error is told and its traceback kept; the others are attacked, under their own numbers."""
    config = small_config(
        tmp_path / "run",
        audit={"num_ref_models": 2, "attacks": ["rmia", "loss"], "power_curve": False},
        train={"model_name": "audits:but_number_three", "max_attempts": 2},
    )
    console = StageConsole(Console(file=io.StringIO(), soft_wrap=True))
    result = run(config, RunStore.at(config.run.log_dir), console)
    said = console.console.file.getvalue()
    assert re.search(r"giving up model 3 after 2 attempts: .*not this one.* \(see models/model_3.error.txt\)\n", said)
    assert re.search(r"going on without model 3, which could not be trained: .*not this one", said)
    assert [target.target for target in result.attacks[0].targets] == [0, 1, 2, 4, 5]
    assert remarks(result)[0] == "Without model 3, which could not be trained (models/model_3.error.txt)."
    timeline = json.loads((tmp_path / "run/report/timeline.json").read_text())
    assert [model["index"] for model in timeline["models"]] == [0, 1, 2, 4, 5]
    assert sorted((a["model"], a["attempt"]) for a in timeline["attempts"] if a["outcome"] != "done") == [
        (3, 1),
        (3, 2),
    ]
    assert all(a["ended"] >= a["started"] > 1.7e9 and len(a["node"]) == 56 for a in timeline["attempts"])
    assert "not this one" in (tmp_path / "run/models/model_3.error.txt").read_text()
    assert sorted(path.name for path in (tmp_path / "run/report/exp").glob("ROC_log_*.png")) == [
        f"ROC_log_{target}.png" for target in (0, 1, 2, 4, 5)
    ]


def test_audit_ends_where_too_few_models_are_left(tmp_path):
    """Of six models five are too few for a variance of each record."""
    attacks = [{"name": "lira", "variance": "per_sample", "mode": "offline"}]
    config = small_config(
        tmp_path,
        audit={"num_ref_models": 2, "attacks": attacks},
        train={"model_name": "audits:but_number_three", "max_attempts": 1},
    )
    console = StageConsole(Console(file=io.StringIO()))
    with pytest.raises(RunError, match="the audit cannot go on without model 3, which could not be trained"):
        run(config, RunStore.at(config.run.log_dir), console)


def test_attacks_in_tasks_equal_attacks_in_the_driver(eight_models, monkeypatch):
    """Spreading targets over Ray tasks changes no score and no threshold, of any attack nor of a stack of QMIA."""
    attacks = {name: make() for name, make in ATTACKS.items()}
    attacks |= {"tuned": Rmia(offline_a="tuned"), "qmia in a stack": Stack((Qmia(), Rmia()))}
    here = scoring.score_all(eight_models, attacks)
    cuts = scoring.thresholds_of_all(eight_models, attacks, [0.1])
    monkeypatch.setattr(scoring, "CELLS_WORTH_A_TASK", 0)
    there = scoring.score_all(eight_models, attacks)
    for first, second in zip(here, there, strict=True):
        np.testing.assert_array_equal(first.values, second.values)
        assert (first.attack, first.settings) == (second.attack, second.settings)
    for label, found in scoring.thresholds_of_all(eight_models, attacks, [0.1]).items():
        np.testing.assert_array_equal(found, cuts[label])
        assert np.isfinite(found).any(), label


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("attack", "error", "message"),
    [
        (Qmia(epochs=3), SignalError, "^QMIA needs the predictions of its regressor"),
        (sorted, RunError, "^an attack could not be computed: TypeError: 'Signals' object is not iterable$"),
    ],
)
def test_what_an_attack_raises_in_a_task_is_one_line(eight_models, monkeypatch, attack, error, message):
    """A deliberate error comes back as it was raised, any other as one line without the layers in between."""
    monkeypatch.setattr(scoring, "CELLS_WORTH_A_TASK", 0)
    with pytest.raises(error, match=message) as raised:
        scoring.score_all(eight_models, {"it": attack})
    assert "\n" not in str(raised.value)


def test_logits_come_with_signals_and_say_the_same(one_slot, copied):
    """Logits are collected where an attack needs them; the stored signals follow from them, and stay as they were."""
    attacks = [{"name": "rmia", "temperature": 2.0}]
    signals, lines = signals_of(small_config(copied, audit={"attacks": attacks}))
    assert_same_bits(one_slot[1], signals)
    assert signals.audit_logits.shape == (400, 4, 1, 10)
    for part, logits in ((signals.audit, signals.audit_logits), (signals.population, signals.population_logits)):
        labels = np.repeat(part["log_prob"].labels, 4)
        made = log_prob_from(logits.reshape(-1, 10), labels).reshape(part["log_prob"].values.shape)
        np.testing.assert_allclose(made, part["log_prob"].values, rtol=1e-4, atol=1e-5)
    again, lines = signals_of(small_config(copied, audit={"attacks": attacks}))
    assert "signals of 4 of 4 models are stored and are reused" in lines
    np.testing.assert_array_equal(again.audit_logits, signals.audit_logits)


def test_regressors_give_the_same_bits_as_a_serial_fit_and_are_reused(one_slot, copied):
    """Each target's QMIA regressor, fitted in a task, equals one fitted here; a second audit reads what is stored."""
    recipe = Qmia(epochs=2)
    config = small_config(copied, audit={"attacks": [{"name": "qmia", "epochs": 2}]})
    signals, _ = signals_of(config)
    found = signals.predicted[recipe.regressor]
    dataset = load_dataset(config.data_spec())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for target in (0, 3):
        signal = signals.population["logit_gap"].values[:, target]
        public = PublicRecords(dataset.population_x, dataset.population_y, signal)
        device, seed = torch.device("cpu"), seed_for(0, "qmia", target)
        regressor = fit_regressor(public, recipe, ("identity",), 10, device, seed)
        here = regressor.predict(dataset.x, dataset.y, ("identity",), device)
        np.testing.assert_array_equal(found.values[:, target], here)
    torch.set_num_threads(threads)
    before = {path: path.stat().st_mtime_ns for path in copied.glob("signals/qmia_*.npy")}
    assert len(before) == 4
    np.testing.assert_array_equal(signals_of(config)[0].predicted[recipe.regressor].values, found.values)
    assert before == {path: path.stat().st_mtime_ns for path in copied.glob("signals/qmia_*.npy")}


def test_regressor_that_fails_names_the_target(one_slot, copied):
    """What a task raises comes back as one line; which of the running tasks is first to fail is chance."""
    config = small_config(copied, audit={"attacks": [{"name": "qmia", "model": "audits:no_such_function"}]})
    with pytest.raises(RunError, match=r"the QMIA regressor of model [0-3] could not be fitted: ConfigError"):
        signals_of(config)


def test_copied_marker_is_noticed(one_slot, copied):
    """A marker of another model, copied by hand, once gave a silently wrong audit; now that model is trained anew."""
    shutil.copy(copied / "models/model_3.json", copied / "models/model_2.json")
    signals, lines = signals_of(small_config(copied))
    assert "training again model 2: its marker is damaged" in lines
    assert_same_bits(one_slot[1], signals)


def test_a_damaged_directory_of_an_earlier_version_ends_in_the_same_bits(one_slot, copied):
    """Markers without seals are told and completed, a cut one is trained again, and so is one that names code."""
    store, column = RunStore.at(str(copied)), next(copied.glob("signals/audit_model_3_*.npy"))
    for index in (0, 1, 2):
        marker = store.read_json(f"models/model_{index}.json")
        earlier = {name: value for name, value in marker.items() if name not in ("seal", "data", "members")}
        store.write_json(
            f"models/model_{index}.json", {**earlier, "architecture": "no_such:code" if index == 2 else ""}
        )
    column.write_bytes(column.read_bytes()[:-1] + b"?")
    (copied / "models/history.json").write_bytes(b"{")
    signals, lines = signals_of(small_config(copied))
    assert_same_bits(one_slot[1], signals)
    assert "training again model 2: its marker names code of its own, which is not run" in lines
    assert any(line.startswith("2 models are of an earlier version, whose markers have no hash") for line in lines)
    assert any(line.endswith(f"{column.name} is altered (its hash is wrong); it is not used") for line in lines)
    assert signals_of(small_config(copied))[1] == [
        "4 of 4 models are done already and are reused",
        "signals of 4 of 4 models are stored and are reused",
    ]


def test_worker_that_cannot_start_ends_the_audit(tmp_path, monkeypatch):
    """A worker that fails before its first lease once restarted for ever; now the audit ends with the reason."""
    monkeypatch.setattr(train_module, "asdict", lambda recipe: {"no_such_field": 1})
    with pytest.raises(RunError, match=r"a worker could not start: TypeError: .*no_such_field"):
        signals_of(small_config(tmp_path, cluster={"max_slots": 1}, train={"max_attempts": 2}))


def test_workers_without_raymeter_end_the_audit(tmp_path, monkeypatch):
    """Workers that fail before they can tell the queue were started again for ever, without a word."""

    def lacking(config):
        raise ModuleNotFoundError("No module named 'raymeter'")

    monkeypatch.setattr(slots_module, "train_slot", lacking)
    with pytest.raises(RunError, match="a worker could not start: ModuleNotFoundError: No module named 'raymeter'"):
        signals_of(small_config(tmp_path, cluster={"max_slots": 1}, train={"max_attempts": 1}))


def test_signal_actors_that_always_die_end_the_audit(one_slot, copied, monkeypatch):
    """Actors that ran out of memory at every block were started again for ever."""

    class Dies(SignalActor):
        def __call__(self, batch):
            os._exit(137)

    monkeypatch.setattr(collect_module, "LOSSES", 1)
    monkeypatch.setattr(collect_module, "suits_driver", lambda *work: False)
    monkeypatch.setattr(collect_module, "SignalActor", Dies)
    with pytest.raises(RunError, match="signals could not be computed: ActorDiedError: The actor died unexpectedly"):
        signals_of(small_config(copied, audit={"batch_size": 50}))


def test_diverged_model_is_an_error_and_not_stored(tmp_path):
    """A learning rate that breaks every model is named, and no broken model counts as done."""
    config = small_config(tmp_path, train={"learning_rate": 1e30, "max_attempts": 1}, cluster={"max_slots": 1})
    with pytest.raises(RunError, match="training diverged, its loss is not finite; lower train.learning_rate"):
        signals_of(config)
    assert not list(tmp_path.glob("models/model_?.json"))
