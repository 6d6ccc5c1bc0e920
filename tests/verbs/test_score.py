"""raymeter score: the same statistics as of an audit's report, and every doubt about the input is spoken."""

from __future__ import annotations

import json
import re

import layouts
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from raymeter.cli.main import main
from raymeter.schema import Scores
from raymeter.stats import auc_figure, auc_interval, mean_over_targets, summarise
from raymeter.storage.run_lock import locked
from raymeter.storage.run_store import RunStore

RNG = np.random.default_rng(0)
HALF = RNG.random((300, 2)) < 0.5
MEMBER = np.stack([HALF, ~HALF], axis=2).reshape(300, 4)
VALUES = RNG.normal(size=MEMBER.shape) + MEMBER


def columns(**changes) -> dict:
    """One row per record and target; a column may be changed or, with None, left out."""
    found = {
        "id": np.repeat(np.arange(300) + 50, 4),
        "target": np.tile(np.arange(4), 300),
        "score": VALUES.ravel(),
        "member": MEMBER.ravel().astype(int),
        "group": np.repeat(np.where(np.arange(300) % 3, "a", "b"), 4),
        **changes,
    }
    return {name: column for name, column in found.items() if column is not None}


def table(path, name="scores.parquet", **changes):
    """The columns as a file."""
    found = pa.table(columns(**changes))
    if name.endswith(".csv"):
        csv.write_csv(found, path / name)
    else:
        parquet.write_table(found, path / name)
    return str(path / name)


def report(path) -> dict:
    """metrics.json of a report."""
    return json.loads((path / "metrics.json").read_text())


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """The report of a whole table."""
    path = tmp_path_factory.mktemp("score")
    assert main(["score", table(path)]) == 0
    return path / "scores-report"


def test_a_table_gets_the_statistics_of_an_audit(judged):
    """AUC, TPR and their intervals are those of the library's own functions, with complements as one cluster."""
    found = report(judged)["attacks"]["score"]
    scores = Scores("score", VALUES, MEMBER, np.arange(300), np.arange(4))
    reference = np.kron(np.eye(2), np.ones((2, 2))) == 0
    (wanted,), _ = summarise([scores], reference, None)
    assert found["auc"] == {name: getattr(wanted.auc, name) for name in ("estimate", "low", "high", "sd", "targets")}
    for t, target in enumerate(found["targets"]):
        assert target["auc"]["low"] == auc_interval(VALUES[:, t], MEMBER[:, t]).low
    assert found["tpr_at_fpr"]["0.01"]["estimate"] == wanted.tpr_at_fpr["0.01"].estimate


def test_a_table_gets_curves_pictures_records_and_groups(judged):
    """The files that an audit's report has, with the table's ids and groups."""
    names = {path.name for path in judged.iterdir()} | {path.name for path in (judged / "exp").iterdir()}
    for name in ("ROC_average.png", "attack_result_average.csv", "groups.csv", "ROC_log_3.png", "attack_result_3.npz"):
        assert name in names
    records = parquet.read_table(judged / "records.parquet")
    assert records.column("id").to_pylist() == list(range(50, 350))
    assert {"score_rank", "score_mean_in"} <= set(records.column_names)
    groups = report(judged)["groups"]["group"]["groups"]
    assert [(group["group"], group["records"]) for group in groups] == [("a", 200), ("b", 100)]
    thresholds = report(judged)["attacks"]["score"]["thresholds"]["0.01"]
    assert thresholds["transferred"]["tpr"]["targets"] == 4


def test_other_results_are_not_replaced_silently(judged, capsys):
    """The same file again is said to be; another file needs --overwrite."""
    path = judged.parent
    assert main(["score", str(path / "scores.parquet")]) == 0
    assert "held the same results, which are replaced" in capsys.readouterr().out
    other = table(path, "other.parquet", score=VALUES.ravel() * 2)
    assert main(["score", other, "--out", str(judged)]) == 2
    error = capsys.readouterr().err
    assert "scores.parquet; choose another --out, or add --overwrite to replace them" in error
    assert report(judged)["provenance"]["score"]["source"].endswith("scores.parquet")


def test_a_report_that_is_being_written_is_left_alone(tmp_path, capsys):
    """Two commands that write one report at once: the second is told, and where nothing is locked nothing stays."""
    scores, out = table(tmp_path), tmp_path / "out"
    with locked(RunStore.at(str(out)), print):
        assert main(["score", scores, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {out} is in use by this process itself since ") and said.count("\n") == 1
    assert not out.exists()
    assert main(["score", scores, "--out", str(out)]) == 0
    assert not (out / "lock.json").exists()


def test_scores_that_are_turned_round_get_a_warning_and_a_remedy(tmp_path, capsys):
    """An AUC clearly below one half; with --lower-means-member it is what it should be."""
    one = {"target": None, "id": np.arange(300), "score": -VALUES[:, 0], "member": MEMBER[:, 0], "group": None}
    path = table(tmp_path, "scores.csv", **one)
    assert main(["score", path, "--out", str(tmp_path / "x")]) == 0
    out = capsys.readouterr().out
    assert "warning: the AUC of score is 0." in out
    assert "say so with --lower-means-member" in out
    assert any("--lower-means-member" in note for note in report(tmp_path / "x")["provenance"]["notes"])
    assert main(["score", path, "--lower-means-member", "--out", str(tmp_path / "y")]) == 0
    assert "warning" not in capsys.readouterr().out
    rising = table(tmp_path, "rising.csv", **{**one, "score": VALUES[:, 0]})
    assert main(["score", rising, "--lower-means-member", "--out", str(tmp_path / "z")]) == 0
    assert "if higher means member in this file, leave --lower-means-member out" in capsys.readouterr().out
    found = report(tmp_path / "y")["attacks"]["score"]
    assert found["auc"]["estimate"] == pytest.approx(auc_interval(VALUES[:, 0], MEMBER[:, 0]).estimate)
    assert found["settings"] == {"lower_means_member": True}


def put(column: np.ndarray, row: int, value: object) -> np.ndarray:
    """A copy with one value changed."""
    changed = column.copy()
    changed[row] = value
    return changed


PLAIN = columns()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"member": None}, "has no column 'member'; it needs the columns id, score and member"),
        ({"score": put(PLAIN["score"], 5, np.nan)}, "1 scores are not finite; the first is nan of record 51"),
        ({"score": put(PLAIN["score"], 5, np.inf)}, "the first is inf of record 51"),
        ({"member": put(PLAIN["member"], 3, 2)}, "member must be 0 or 1, got 2"),
        ({"member": np.repeat("yes", 1200)}, "member must be 0 or 1 .*, got 'yes' .*; turn it into 1"),
        ({"id": put(PLAIN["id"], 4, 50)}, "record 50 comes 2 times in target 0"),
        ({"target": None}, "record 50 comes 4 times; .* or name the targets in a column target"),
        ({"member": np.where(PLAIN["target"] == 2, 1, PLAIN["member"])}, "all 300 records of target 2 are members"),
        ({"member": np.where(PLAIN["target"] == 2, 0, PLAIN["member"])}, "all 300 records of target 2 are non-members"),
        ({"id": put(PLAIN["id"], 0, 999)}, "target 0 has no score of record 50, and 2 records in all lack one"),
        ({"group": put(PLAIN["group"], 1, "c")}, "record 50 is in group 'b' and in 'c'"),
        ({"score": np.repeat("high", 1200)}, "score must be numbers, got string"),
        ({"id": PLAIN["id"] % 2 == 0}, "id must be numbers or texts, got bool"),
        ({"id": put(PLAIN["id"].astype(str).astype(object), 4, "")}, "1 rows have no id"),
        ({"group": put(PLAIN["group"].astype(object), 4, "")}, "1 rows have no group"),
        ({"score": np.repeat("0,25", 1200)}, r"score must be numbers, got numbers with decimal commas \('0,25'\)"),
    ],
)
def test_tables_that_cannot_be_right_are_refused(tmp_path, capsys, changes, message):
    """One line that names the record or the target, and what to do; nothing is written."""
    assert main(["score", table(tmp_path, **changes)]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
    assert not (tmp_path / "scores-report").exists()


def test_records_that_not_every_target_has_can_be_left_out(tmp_path, capsys):
    """Text ids and text targets; the report says what was dropped and which number is which target."""
    names = np.array([f"r{i}" for i in PLAIN["id"]])
    found = {"id": put(names.astype(object), 0, "extra"), "target": np.array(["x", "y", "z", "w"])[PLAIN["target"]]}
    path = table(tmp_path, id=found["id"].astype(str), target=found["target"])
    assert main(["score", path, "--common-records"]) == 0
    assert "2 records that not every target has are left out" in capsys.readouterr().out
    assert report(tmp_path / "scores-report")["provenance"]["score"]["targets"] == {
        "0": "w",
        "1": "x",
        "2": "y",
        "3": "z",
    }
    ids = parquet.read_table(tmp_path / "scores-report/records.parquet").column("id").to_pylist()
    assert len(ids) == 299 and "r51" in ids


def ids_of(path) -> list:
    """The ids in a report's table of records."""
    return parquet.read_table(path / "scores-report/records.parquet").column("id").to_pylist()


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_ids_with_leading_zeros_stay_as_they_are(tmp_path, name):
    """000007 was 7, in the table of records and for whoever looked it up; so were groups and targets."""
    padded = np.array([f"{i:06d}" for i in PLAIN["id"]])
    changes = {"id": padded, "target": np.array([f"0{t}" for t in PLAIN["target"]])}
    changes["group"] = np.where(PLAIN["group"] == "a", "01", "1")
    assert main(["score", table(tmp_path, name, **changes)]) == 0
    assert ids_of(tmp_path) == [f"{i:06d}" for i in range(50, 350)]
    metrics = report(tmp_path / "scores-report")
    assert metrics["provenance"]["score"]["targets"] == {str(t): f"0{t}" for t in range(4)}
    assert {group["group"] for group in metrics["groups"]["group"]["groups"]} == {"01", "1"}


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
@pytest.mark.parametrize("kind", ["dates", "halves", "beyond"])
def test_ids_that_are_dates_floats_or_large_are_kept(tmp_path, name, kind):
    """They were refused; whatever names each record once may be an id."""
    number = PLAIN["id"]
    given = {
        "dates": np.datetime64("2024-01-01", "D") + number.astype("timedelta64[D]"),
        "halves": number / 2 + 0.25,
        "beyond": number.astype(np.uint64) + np.uint64(2**63),
    }[kind]
    assert main(["score", table(tmp_path, name, id=given)]) == 0
    assert sorted(ids_of(tmp_path)) == sorted({str(value) for value in given})


def test_plain_numbers_in_csv_stay_numbers(tmp_path):
    """So that a join with the user's own table finds them."""
    assert main(["score", table(tmp_path, "scores.csv")]) == 0
    assert ids_of(tmp_path) == list(range(50, 350))


def test_reports_of_named_records_are_compared_by_their_names(tmp_path, capsys):
    """What rose and fell was told by the digest of its name."""
    names = np.array([f"user-{i:06d}" for i in PLAIN["id"]])
    one, two = (
        table(tmp_path, f"{label}.parquet", id=names, score=VALUES.ravel() + noise)
        for label, noise in (("a", 0.0), ("b", RNG.normal(size=VALUES.size)))
    )
    assert main(["score", one]) == main(["score", two]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "a-report"), str(tmp_path / "b-report")]) == 0
    assert re.search(r"record user-000\d{3}: 0\.\d+ -> ", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id;score;member\n1;0,5;1\n", "columns are separated by semicolons; separate them by commas, and write 0.5"),
        (b"id\tscore\tmember\n1\t0.5\t1\n", "columns are separated by tabs"),
        (b"id,score,member\n1,0,5,1\n", "a row has 4 cells where the header has 3: with decimal commas, perhaps"),
        (
            "id,score,member\n1,0.5,1\n".encode("utf-16"),
            "scores.csv is written in UTF-16, or holds zero bytes; save it as UTF-8",
        ),
        (
            "id,score,member\n1,0.5,1\n".encode("utf-16-le"),
            "scores.csv is written in UTF-16, or holds zero bytes; save it as UTF-8",
        ),
    ],
)
def test_what_spreadsheets_do_to_csv_is_named(tmp_path, capsys, content, message):
    """One line, with the way out."""
    (tmp_path / "scores.csv").write_bytes(content)
    assert main(["score", str(tmp_path / "scores.csv")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_mark_before_utf8_is_passed_over(tmp_path):
    """Excel writes one; the first column is still called id."""
    path = table(tmp_path, "scores.csv")
    content = (tmp_path / "scores.csv").read_bytes()
    (tmp_path / "scores.csv").write_bytes(b"\xef\xbb\xbf" + content)
    assert main(["score", path]) == 0


def test_targets_trained_on_the_same_records_are_no_second_draw(tmp_path):
    """Two models of one membership count as one training: the interval is that of one cluster."""
    same = np.repeat(MEMBER[:, :1], 2, axis=1)
    changes = {"id": np.repeat(np.arange(300), 2), "target": np.tile(np.arange(2), 300), "group": None}
    path = table(tmp_path, score=VALUES[:, :2].ravel() + same.ravel(), member=same.ravel(), **changes)
    assert main(["score", path]) == 0
    found = report(tmp_path / "scores-report")["attacks"]["score"]
    figures = [auc_figure(VALUES[:, t] + same[:, t], same[:, t]) for t in range(2)]
    expected = mean_over_targets(figures, np.array([0, 0]))
    assert (found["auc"]["low"], found["auc"]["high"]) == pytest.approx((expected.low, expected.high))


def test_own_signals_are_attacked_by_all_that_is_possible(tmp_path, capsys):
    """Logits with classes and a population allow every attack; the table of records names those at risk."""
    found = layouts.truth(records=120, models=6)
    for name, array in {
        "signals": found.logits[:, :, 0],
        "members": found.member,
        "labels": found.labels,
        "population": found.population[:, :, 0],
        "population_labels": found.population_labels,
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    flags = [
        f"--{n}={tmp_path / n.replace('-', '_')}.npy" for n in ("members", "labels", "population", "population-labels")
    ]
    assert main(["score", "--signals", str(tmp_path / "signals.npy"), "--kind", "logits", *flags]) == 0
    content = report(tmp_path / "signals-report")
    assert set(content["attacks"]) == {
        *("loss", "rmia", "rmia_online", "lira", "lira_offline", "base", "base_offline", "calibrated", "empirical"),
        *("population", "entropy", "stack"),
    }
    assert content["attacks"]["lira"]["auc"]["low"] > 0.5
    records = parquet.read_table(tmp_path / "signals-report/records.parquet")
    assert {"p_value", "at_risk", "membership_p_value", "lira_rank"} <= set(records.column_names)
    assert "without" not in capsys.readouterr().out


def test_signals_without_population_say_what_cannot_run_and_that_members_may_be_inverted(tmp_path, capsys):
    """No RMIA, no entropy; inverted memberships are noticed; an attack that is asked for must be possible."""
    found = layouts.truth(records=120, models=6)
    np.savez(tmp_path / "s.npz", signals=np.log(found.prob), member=~found.member)
    assert (
        main(["score", "--signals", str(tmp_path / "s.npz"), "--attacks", "[loss, {name: lira, variance: global}]"])
        == 0
    )
    out = capsys.readouterr().out
    assert "no population: RMIA and Attack-P cannot run" in out
    assert "below chance: check that 1 means member" in out
    assert list(report(tmp_path / "s-report")["attacks"]) == ["loss", "lira"]
    assert main(["score", "--signals", str(tmp_path / "s.npz"), "--attacks", "rmia", "--out", str(tmp_path / "x")]) == 2
    assert "RMIA needs a population, records that no model was trained on, and there is none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a file of scores or a run directory, or --signals FILE"),
        (["a.csv", "--kind", "prob"], "--kind goes with --signals"),
        (["--signals", "a.npz", "--lower-means-member"], "--lower-means-member goes with a table of scores"),
        (["nowhere.csv"], "nowhere.csv does not exist; check the path"),
        (
            ["mine.npz"],
            "mine.npz is not a table: give a file that ends in .parquet, .pq, .csv (signals go with --signals)",
        ),
        (["."], "holds no signals"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(tmp_path, monkeypatch, capsys, arguments, message):
    """Rather than ignored."""
    monkeypatch.chdir(tmp_path)
    assert main(["score", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_text_that_is_not_utf8_is_refused(tmp_path, capsys):
    """A group in Latin-1 was told as b'caf\\xe9'."""
    rows = "".join(f"{i},{i % 7},{i % 2},café\n" for i in range(20))
    (tmp_path / "scores.csv").write_bytes(f"id,score,member,group\n{rows}".encode("latin-1"))
    assert main(["score", str(tmp_path / "scores.csv")]) == 2
    assert "column 'group' is not text in UTF-8" in capsys.readouterr().err


def test_signals_and_memberships_that_are_both_transposed_are_reported(tmp_path, capsys):
    """Eight models and four records (once sixty) were judged without a word, since the two matrices fit each other."""
    rng = np.random.default_rng(0)
    member = rng.permuted(np.repeat([[True], [False]], 2, axis=0).repeat(8, axis=1), axis=0)
    np.save(tmp_path / "signals.npy", -rng.random((4, 8)))
    np.save(tmp_path / "members.npy", member)
    files = ["--signals", str(tmp_path / "signals.npy"), "--members", str(tmp_path / "members.npy")]
    assert main(["score", *files, "--out", str(tmp_path / "x")]) == 0
    assert "warning: 8 models and 4 records: if signals and memberships both have models" in capsys.readouterr().out
    member[:, 2] = True
    np.save(tmp_path / "members.npy", member)
    assert main(["score", *files, "--out", str(tmp_path / "y")]) == 2
    assert "model 2 was trained on all of the 4 records, so it cannot be a target" in capsys.readouterr().err
