"""Sweeps on a local Ray: the rows are what a loop finds, a failing setting is a row, and interrupted sweeps go on."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from audits import stored_audit
from pyarrow import parquet

from raymeter.config.load import build_config
from raymeter.config.sections import ClusterSection
from raymeter.distributed.session import connected
from raymeter.errors import ConfigError, SignalError, StoreError
from raymeter.pipeline import sweep
from raymeter.pipeline.console import StageConsole
from raymeter.pipeline.sweep import run_sweep
from raymeter.schema.seeds import seed_for
from raymeter.signals.stored import load_signals
from raymeter.storage.run_store import RunStore
from raymeter.sweep.evaluate import evaluate
from raymeter.sweep.metric import Metric
from raymeter.sweep.report import sweep_lines
from raymeter.sweep.sections import SweepConfig
from raymeter.sweep.space import build_sweep, settings_of
from raymeter.sweep.target_halves import divide_targets, without_models_of

MODELS, RECORDS = 12, 1500
SPACE = [
    {"attack": "rmia", "offline_a": [0.1, 0.5, 0.9], "references": [1, 2]},
    {"attack": "lira", "variance": ["nig", "per_sample"], "references": [1, 2]},
    {"attack": "loss"},
]


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    """One embedded Ray for the whole module."""
    with connected(ClusterSection(num_cpus=2)):
        yield


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> str:
    """A run directory with the stored signals of a leaky audit."""
    return stored_audit(tmp_path_factory.mktemp("audited"), MODELS, RECORDS).uri


@pytest.fixture
def copied(audited, tmp_path) -> str:
    """A copy of that directory, to sweep in."""
    shutil.copytree(audited, tmp_path / "copy", ignore=shutil.ignore_patterns("sweep"))
    return str(tmp_path / "copy")


@pytest.fixture(scope="module")
def swept(audited):
    """The run directory after one sweep, and its result."""
    return audited, run(audited, metric="tpr@0.05")


def run(path: str, **section: object):
    sweep = {"name": "s", "space": SPACE, "block": 3, **section}
    return run_sweep(build_sweep({"run": {"log_dir": path}, "sweep": sweep}), RunStore.at(path), StageConsole())


def test_rows_equal_a_loop_and_the_winner_is_reported_elsewhere(swept):
    """Every figure is that of a direct evaluation on the selection targets; the winner's is of the others."""
    path, result = swept
    signals = load_signals(RunStore.at(path)).signals
    seed, metric = seed_for(0, "sweep"), Metric("tpr@0.05")
    selection, report = divide_targets(signals, 0.5, seed)
    ranking = without_models_of(signals, selection, report)
    config = build_sweep({"run": {"log_dir": path}, "sweep": {"space": SPACE, "metric": "tpr@0.05"}})
    settings = settings_of(config)
    assert len(result.rows) == len(settings) == 11
    for row, setting in zip(result.rows, settings, strict=True):
        if row["error"] is None:
            found = evaluate(setting.attack, ranking, selection, setting.limits, metric, seed)
            assert row["metric"] == pytest.approx(found.mean())
    assert result.best["metric"] == max(row["metric"] for row in result.rows if row["metric"] is not None)
    winner = next(setting for setting in settings if all(result.best[k] == v for k, v in setting.values.items()))
    found = evaluate(winner.attack, signals, report, winner.limits, metric, seed)
    assert result.report.winner.estimate == pytest.approx(found.mean())
    assert set(result.selection.targets).isdisjoint(result.report.targets)
    plain = evaluate(type(winner.attack)(), signals, report, winner.limits, metric, seed)
    assert result.report.default.estimate == pytest.approx(plain.mean())


def test_a_failing_setting_is_a_row_with_its_error(swept):
    """Per-sample LiRA with one pair cannot run; the others can."""
    _, result = swept
    failed = [row for row in result.rows if row["error"] is not None]
    assert [(row["attack"], row["variance"], row["references"]) for row in failed] == [("lira", "per_sample", 1)]
    assert "has 1 references that are" in failed[0]["error"]


def test_the_files_can_be_read_and_best_yaml_is_an_audit(swept):
    """results.parquet has a row per setting, best.yaml loads, summary.json tells both figures apart."""
    path, result = swept
    store = RunStore.at(path)
    table = parquet.read_table(io.BytesIO(store.read("sweep/s/results.parquet")))
    assert table.num_rows == 11
    assert {"attack", "offline_a", "variance", "references", "metric", "error"} <= set(table.column_names)
    best = build_config(yaml.safe_load(store.read("sweep/s/best.yaml")))
    assert list(best.attacks) == ["best"]
    assert best.audit.num_ref_models == MODELS // 2 - 1  # no model is left out of the stored signals
    assert best.audit.report_log == "sweep/s/report"
    summary = json.loads(store.read("sweep/s/summary.json"))
    assert summary["difference"] == pytest.approx(summary["optimistic"]["estimate"] - summary["honest"]["estimate"])
    gains = summary["selection_gain"]["estimate"], summary["gain"]["estimate"]
    assert summary["optimism"] == pytest.approx(gains[0] - gains[1])
    assert gains[1] == pytest.approx(summary["honest"]["estimate"] - summary["default"]["estimate"])
    assert best.run.log_dir == path and summary["resolvable"]
    assert summary["failed"] == 1
    for name in ("metric.png", "best_roc.png"):
        assert store.read(f"sweep/s/{name}").startswith(b"\x89PNG")


def test_an_interrupted_sweep_does_only_what_is_left(swept, tmp_path):
    """One block is lost with Tune's snapshot; it alone is computed again, and nothing differs."""
    _, before = swept
    copied = str(shutil.copytree(swept[0], tmp_path / "copy"))
    store = RunStore.at(copied)
    kept = store.read("sweep/s/blocks/0.json")
    store.delete("sweep/s/blocks/2.json")
    shutil.rmtree(f"{copied}/sweep/s/tune")
    after = run(copied, metric="tpr@0.05")
    assert store.read("sweep/s/blocks/0.json") == kept
    assert [row["metric"] for row in after.rows] == [row["metric"] for row in before.rows]
    assert after.report == before.report
    again = run(copied, metric="tpr@0.05")  # everything is there: Tune is not started
    assert [row["metric"] for row in again.rows] == [row["metric"] for row in before.rows]


def test_a_limit_is_no_gain(copied):
    """The defaults were not limited as the winner was: where only a limit was chosen, choosing seemed to flatter."""
    result = run(copied, space=[{"attack": "rmia", "references": [1]}])
    assert result.report.gain.estimate == result.selection.gain.estimate == result.optimism == 0
    assert "rmia with its defaults and the same references 1: " in "\n".join(sweep_lines(result))


def test_columns_have_the_type_of_their_values(copied):
    """A limit of one attack only was a text in results.parquet, and an error that never was had no type."""
    space = [{"attack": "rmia", "population": [20, 50]}, {"attack": "lira"}]
    run(copied, space=space)
    table = parquet.read_table(io.BytesIO(RunStore.at(copied).read("sweep/s/results.parquet")))
    assert [str(table.schema.field(name).type) for name in ("population", "error")] == ["int64", "string"]
    assert table.column("population").to_pylist() == [20, 50, 100]


class Stage(StageConsole):
    """Keeps the progress, and interrupts at a number of trials."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        super().__init__()
        self.said, self.interrupt_at = [], interrupt_at

    def progress(self, done, total, what):
        self.said.append((done, what))
        if done == self.interrupt_at:
            signal.raise_signal(signal.SIGINT)


def interrupted(path: str, monkeypatch, **section: object) -> SweepConfig:
    """A sweep that was interrupted at its fourth trial, on a Ray that was there before."""
    monkeypatch.delenv("TUNE_DISABLE_SIGINT_HANDLER", raising=False)
    config = build_sweep({"run": {"log_dir": path}, "sweep": {"name": "s", "space": SPACE, **section}})
    with pytest.raises(KeyboardInterrupt):
        run_sweep(config, RunStore.at(path), Stage(interrupt_at=4))
    return config


def test_an_interrupted_grid_goes_on_and_counts_on(copied, monkeypatch):
    """Tune took the interrupt, and what was missing was told as damaged; the bar began again without a best."""
    config, again = interrupted(copied, monkeypatch, block=1), Stage()
    result = run_sweep(config, RunStore.at(copied), again)
    assert len(result.rows) == 11 and again.said[0][0] > 4
    assert again.said[-1] == (11, f"trials, best {result.best['metric']:.4f}")


def test_an_interrupted_optuna_sweep_is_not_taken_for_done(copied, monkeypatch):
    """Tune took the interrupt and ended as if it were done: the trials so far counted as the whole sweep."""
    store = RunStore.at(copied)
    config = interrupted(copied, monkeypatch, searcher="optuna", samples=12)
    assert store.read("sweep/s/finished.json") is None
    run_sweep(config, store, Stage())
    assert len(store.read_json("sweep/s/finished.json")["trials"]) == 12


def test_another_sweep_of_the_same_name_is_refused(swept):
    """A changed space does not mix with the old one's blocks."""
    with pytest.raises(StoreError, match=r"sweep/s holds another sweep .*; choose another sweep.name"):
        run(swept[0], space=[{"attack": "loss"}])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            [{"attack": "rmia", "references": [1, 9]}],
            "references: 9 asked for, the audit has 2 for selection targets, which report targets may not judge; raise audit",
        ),
        ([{"attack": "rmia", "references": [1.5]}], "references: expected a list of whole numbers from 1 to 2"),
        ([{"attack": "rmia", "queries": [2]}], "queries: 2 asked for, the audit has 1"),
        ([{"attack": "rmia", "temperature": [1.0, 2.0]}], "needs logits, which this audit did not keep"),
    ],
)
def test_a_space_beyond_what_is_stored_stops_at_once(copied, space, message):
    """Nothing is trained and nothing is swept; the line says what to do."""
    with pytest.raises(ConfigError, match=message):
        run(copied, space=space)


def test_asha_gives_poor_settings_up(copied):
    """Of settings with the best first, some are given up after 1,000 records; the winner had all of them."""
    space = [{"attack": "lira"}, {"attack": "rmia", "offline_a": [0.3]}, {"attack": "loss"}, {"attack": "population"}]
    result = run(copied, asha=True, space=[*space, {"attack": "base"}, {"attack": "calibrated"}])
    sizes = [row["records"] for row in result.rows]
    assert len(sizes) == 6 and set(sizes) == {1000, RECORDS}
    assert result.best["records"] == RECORDS


def test_an_interrupted_asha_sweep_is_not_taken_for_done(copied):
    """Blocks that saw the first rung only, and no marker: the sweep goes on instead of choosing among the others."""
    before = run(copied, asha=True, space=SPACE[:1])
    store = RunStore.at(copied)
    store.delete("sweep/s/finished.json")
    for block in range(6):
        rows = store.read_json(f"sweep/s/blocks/{block}.json")["rows"]
        store.write(f"sweep/s/blocks/{block}.json", json.dumps([{**row, "records": 1000} for row in rows]).encode())
    shutil.rmtree(f"{copied}/sweep/s/tune")
    after = run(copied, asha=True, space=SPACE[:1])
    assert after.best["records"] == RECORDS
    assert store.read_sealed("sweep/s/finished.json", "") == {"trials": [str(block) for block in range(6)]}
    assert len(after.rows) == len(before.rows)


def test_damaged_blocks_are_computed_again(swept, tmp_path):
    """A truncated, empty or foreign file is no result; nothing of it is trusted."""
    _, before = swept
    copied = str(shutil.copytree(swept[0], tmp_path / "copy"))
    for block, damage in enumerate([b"[", b'[{"attack": "loss"}]', b"\x80\x04"]):
        RunStore.at(copied).write(f"sweep/s/blocks/{block}.json", damage)
    after = run(copied, metric="tpr@0.05")
    assert [row["metric"] for row in after.rows] == [row["metric"] for row in before.rows]


@pytest.mark.parametrize("trials", [None, [], 3, [1, None]])
def test_a_damaged_list_of_finished_trials_is_one_line(copied, trials):
    """A list of numbers was a traceback."""
    RunStore.at(copied).write_json("sweep/s/finished.json", {"trials": trials})
    with pytest.raises(StoreError, match=r"s/finished.json is missing or damaged; delete .*/sweep/s and start"):
        run(copied, asha=True)


class Evil:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_snapshot_of_tune_is_never_unpickled(copied, tmp_path):
    """A run directory of somebody else ran code in the next start of its sweep; what was computed is found again."""
    space = [{"attack": "rmia", "offline_a": {"uniform": [0.0, 1.0]}}]
    before = run(copied, searcher="optuna", samples=3, space=space)
    store = RunStore.at(copied)
    store.delete("sweep/s/finished.json")
    kept = {path: path.stat().st_mtime_ns for path in Path(copied, "sweep/s/blocks").iterdir()}
    for path in Path(copied, "sweep/s/tune").rglob("*"):
        if path.is_file():
            path.write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
    after = run(copied, searcher="optuna", samples=3, space=space)
    assert not (tmp_path / "ran").exists()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert [row["metric"] for row in after.rows] == [row["metric"] for row in before.rows]


def test_a_winner_that_fails_on_the_report_targets_is_passed_over(swept, tmp_path, monkeypatch):
    """The next setting of the ranking is reported, and the result says what was passed over."""
    _, whole = swept
    copied = str(shutil.copytree(swept[0], tmp_path / "copy"))
    ranked = sorted((row for row in whole.rows if row["metric"] is not None), key=lambda row: -row["metric"])
    real = sweep.restrict

    def fails(signals, targets, limits, seed):
        if list(signals.audit["log_prob"].targets[targets]) == list(whole.report.targets) and not fails.once:
            fails.once.append(1)
            raise SignalError("not here")
        return real(signals, targets, limits, seed)

    fails.once = []
    monkeypatch.setattr(sweep, "restrict", fails)
    result = run(copied, metric="tpr@0.05")
    assert result.best["metric"] == ranked[1]["metric"] and len(result.passed_over) == 1
    assert "not here" in result.passed_over[0]


def test_optuna_proposes_settings_of_the_space(copied):
    """Each proposal is a point of one part of the space, with that part's settings only."""
    space = [
        {"attack": "rmia", "offline_a": {"uniform": [0.0, 1.0]}},
        {"attack": "lira", "mode": ["online", "offline"]},
    ]
    result = run(copied, searcher="optuna", samples=6, space=space)
    settings = [(row["attack"], row["mode"], row.get("offline_a")) for row in result.rows]
    assert 1 <= len(set(settings)) == len(settings) <= 6  # what is proposed again is one setting
    for row in result.rows:
        assert ("offline_a" in row) == (row["attack"] == "rmia")
        assert row["mode"] == "offline" or row["attack"] == "lira"  # of rmia, the default
