"""What raymeter exports, it imports as the same signals; and an imported run is a run to the rest of raymeter."""

from __future__ import annotations

import layouts
import numpy as np
import pytest

from raymeter.attacks import Lira, Rmia
from raymeter.cli.main import main
from raymeter.errors import StoreError
from raymeter.schema import Signals
from raymeter.signals.stored import load_signals
from raymeter.storage.run_store import RunStore
from raymeter.sweep.evaluate import evaluate
from raymeter.sweep.limits import Limits
from raymeter.sweep.metric import Metric
from raymeter.sweep.target_halves import divide_targets


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory with logits, classes and a population, ids that are no positions, and its signals."""
    path, found = tmp_path_factory.mktemp("run"), layouts.truth()
    np.savez(
        path / "mine.npz",
        signals=found.logits[:, :, 0],
        member=found.member,
        labels=found.labels,
        population=found.population[:, :, 0],
        population_labels=found.population_labels,
        ids=1000 + np.arange(40) * 3,
    )
    assert (
        main(["import", str(path / "mine.npz"), "--format", "arrays", "--kind", "logits", "--out", str(path / "run")])
        == 0
    )
    return path / "run", load_signals(RunStore.at(str(path / "run"))).signals


def round_trip(name: str, path, out) -> Signals:
    """Export a run and import what was written."""
    assert main(["export", str(path), "--format", name, "--out", str(out / "theirs")]) == 0
    kept = ["--logits"] if name in ("lira", "leakpro") else []
    assert main(["import", str(out / "theirs"), "--format", name, *kept, "--out", str(out / "ours")]) == 0
    return load_signals(RunStore.at(str(out / "ours"))).signals


@pytest.mark.parametrize("name", ["lira", "lira-analysis"])
def test_lira_layouts_keep_every_bit(run, tmp_path, name):
    """Scores as float64 and logits: gaps, members, ids and the classes come back equal."""
    path, before = run
    after = round_trip(name, path, tmp_path)
    one, other = before.audit["logit_gap"], after.audit["logit_gap"]
    for part in ("values", "member", "ids", "reference", "targets"):
        np.testing.assert_array_equal(getattr(one, part), getattr(other, part))
    if name == "lira":
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(before.audit_logits, after.audit_logits)


def test_arrays_keep_log_probabilities(run, tmp_path):
    """The file of one's own signals: log-probabilities are equal, gaps to the last digits."""
    path, before = run
    after = round_trip("arrays", path, tmp_path)
    for part in ("audit", "population"):
        one, other = getattr(before, part)["log_prob"], getattr(after, part)["log_prob"]
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.member, other.member)
    np.testing.assert_allclose(before.audit["logit_gap"].values, after.audit["logit_gap"].values, rtol=1e-5, atol=1e-5)


def test_privacy_meter_keeps_probabilities(run, tmp_path):
    """float32 softmax, as there; the members and the ids as they were."""
    path, before = run
    after = round_trip("privacy-meter", path, tmp_path)
    for part in ("audit", "population"):
        one, other = getattr(before, part)["log_prob"], getattr(after, part)["log_prob"]
        np.testing.assert_allclose(np.exp(one.values), np.exp(other.values), atol=1e-7)
    np.testing.assert_array_equal(before.audit["log_prob"].ids, after.audit["log_prob"].ids)
    np.testing.assert_array_equal(before.audit["log_prob"].member, after.audit["log_prob"].member)


@pytest.mark.parametrize("name", ["leakpro", "privacyguard"])
def test_formats_of_one_target_give_the_same_scores(run, tmp_path, name):
    """Target and references move to other columns, the target's complement is left out, and scores stay."""
    path, before = run
    after = round_trip(name, path, tmp_path)
    one, other = Lira()(before), Lira()(after)
    order = np.argsort(other.ids)
    np.testing.assert_array_equal(other.ids[order], one.ids)
    np.testing.assert_array_equal(other.member[order, 0], one.member[:, 0])
    np.testing.assert_allclose(other.values[order, 0], one.values[:, 0], rtol=1e-3, atol=1e-4)
    if name == "privacyguard":
        np.testing.assert_allclose(Rmia()(after).values[order, 0], Rmia()(before).values[:, 0], atol=1e-5)


def test_export_of_another_target(run, tmp_path, capsys):
    """--target 3 puts model 3 first; model 9 is none."""
    path, before = run
    assert main(["export", str(path), "--format", "leakpro", "--target", "3", "--out", str(tmp_path / "x")]) == 0
    assert "one target, model 3, and the 4 models that may judge it" in capsys.readouterr().out
    with np.load(tmp_path / "x/attack_cache/raymeter_members.npz") as members:
        matrix = before.audit["log_prob"]
        np.testing.assert_array_equal(members["target"], matrix.ids[matrix.member[:, 3]])
    assert main(["export", str(path), "--format", "leakpro", "--target", "9", "--out", str(tmp_path / "y")]) == 2
    assert "model 9 is not a target of this run; choose one of [0, 1, 2, 3, 4, 5]" in capsys.readouterr().err


def test_an_imported_run_can_be_swept_and_not_audited(run):
    """What a sweep does with stored signals works; an audit refuses the directory, as it holds no models of its own."""
    path, signals = run
    selection, report = divide_targets(signals, 0.5, seed=0)
    assert len(selection) + len(report) == 6
    assert evaluate(Rmia(), signals, report, Limits(records=20), Metric("auc"), 0).shape == report.shape
    with pytest.raises(StoreError, match="holds models of a different audit.*imported.format was arrays, now absent"):
        RunStore.at(str(path)).check_identity({"store_version": 1})


def test_full_directories_are_left_alone(run, tmp_path, capsys):
    """Neither an import nor an export writes among other files."""
    path, _ = run
    assert main(["export", str(path), "--format", "lira", "--out", str(path)]) == 2
    assert "is not empty; choose a new --out" in capsys.readouterr().err
    assert main(["import", str(tmp_path), "--format", "lira", "--out", str(path)]) == 2
    assert "holds a run already (run.json); choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        (
            "import",
            ["--format", "lira", "--kind", "prob"],
            "--kind does not apply to lira, which takes --ids, --labels",
        ),
        ("import", ["--format", "leakpro", "--ids", "x.npy"], "--ids does not apply to leakpro"),
        ("export", ["--format", "lira", "--target", "1"], "--target is for leakpro and privacyguard"),
    ],
)
def test_flags_without_a_use_are_refused(tmp_path, capsys, verb, arguments, message):
    """Rather than ignored."""
    assert main([verb, str(tmp_path), *arguments, "--out", str(tmp_path / "x")]) == 2
    assert message in capsys.readouterr().err


def test_a_run_without_logits_is_no_leakpro_cache(tmp_path, capsys):
    """The remedy is a key of the audit."""
    found = layouts.truth()
    np.savez(tmp_path / "mine.npz", signals=found.gap, member=found.member)
    run = str(tmp_path / "run")
    assert main(["import", str(tmp_path / "mine.npz"), "--format", "arrays", "--kind", "logit_gap", "--out", run]) == 0
    assert main(["export", run, "--format", "leakpro", "--out", str(tmp_path / "x")]) == 2
    assert "did not keep; audit again with audit.logits=true" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["arrays", "lira", "lira-analysis", "privacy-meter", "privacyguard"])
def test_records_with_names_keep_them(tmp_path, name):
    """Texts with leading zeros go out and come back; 007 is not 7."""
    found, ids = layouts.truth(), np.array([f"{i:03d}" for i in range(40)])
    np.savez(tmp_path / "mine.npz", signals=np.log(found.prob[:, :, 0]), member=found.member, ids=ids)
    run = str(tmp_path / "run")
    assert main(["import", str(tmp_path / "mine.npz"), "--format", "arrays", "--out", run]) == 0
    after = round_trip(name, run, tmp_path).audit["log_prob"]
    assert sorted(after.ids.tolist()) == ids.tolist()
    rows = np.argsort(after.ids)
    target = int(after.targets[0])
    np.testing.assert_array_equal(after.member[rows, target], found.member[:, target])


def test_leakpro_numbers_records_with_names_by_position(tmp_path):
    """Its cache has positions in the dataset and no names: these lie next to it, and a line says so."""
    found, ids = layouts.truth(), np.array([f"{i:03d}" for i in range(40)])
    arrays = {"signals": found.logits[:, :, 0], "member": found.member, "labels": found.labels, "ids": ids}
    np.savez(tmp_path / "mine.npz", **arrays)
    run = str(tmp_path / "run")
    assert main(["import", str(tmp_path / "mine.npz"), "--format", "arrays", "--kind", "logits", "--out", run]) == 0
    after = round_trip("leakpro", run, tmp_path).audit["log_prob"]
    assert sorted(after.ids.tolist()) == list(range(40))
    assert np.load(tmp_path / "theirs/ids.npy").tolist() == ids.tolist()
