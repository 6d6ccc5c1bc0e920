"""Files in the documented layouts of other tools are read as what they stand for, or refused with a way out."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from pathlib import Path

import layouts
import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from raymeter.errors import DataError
from raymeter.formats import FORMATS, Extras
from raymeter.formats.reading import load_array, load_arrays, read_table

TRUTH = layouts.truth()
TWO_VIEWS = layouts.truth(views=2)


def check(imported, found, kind="logit_gap", rows=None, atol=1e-5) -> None:
    """Signals, members and ids are those of the truth, in its order."""
    rows = np.arange(len(found.labels)) if rows is None else rows
    matrix = imported.signals.audit[kind]
    wanted = found.gap if kind == "logit_gap" else np.log(found.prob)
    np.testing.assert_allclose(matrix.values, wanted[rows][:, :, : matrix.values.shape[2]], atol=atol, rtol=1e-5)
    np.testing.assert_array_equal(matrix.member, found.member[rows])


def test_privacy_meter_is_transposed_and_read_as_probabilities(tmp_path):
    """Memberships are model-major there, and signals softmax probabilities with a population."""
    layouts.privacy_meter(tmp_path, TRUTH)
    found = FORMATS["privacy-meter"].read(tmp_path, Extras())
    check(found, TRUTH, "log_prob")
    check(found, TRUTH, "logit_gap", atol=1e-4)
    outside = layouts.true_class(TRUTH.population, TRUTH.population_labels)
    np.testing.assert_allclose(np.exp(found.signals.population["log_prob"].values), outside, rtol=1e-5)
    assert "ids are their positions" in found.notes[0]


def test_privacy_meter_asks_which_records_were_audited(tmp_path):
    """A part of the pool without its positions is refused; with them the right memberships are taken."""
    audited = np.array([7, 3, 30, 21])
    layouts.privacy_meter(tmp_path, TRUTH, audited)
    with pytest.raises(DataError, match="4 of 40 records were audited and no file says which; give --ids"):
        FORMATS["privacy-meter"].read(tmp_path, Extras())
    found = FORMATS["privacy-meter"].read(tmp_path, Extras(ids=audited))
    check(found, TRUTH, "log_prob", audited)
    np.testing.assert_array_equal(found.signals.audit["log_prob"].ids, audited)


def test_privacy_meter_refuses_what_is_turned_round_or_no_probability(tmp_path):
    """Memberships [records, models], and logits where probabilities belong."""
    layouts.privacy_meter(tmp_path, TRUTH)
    layouts.save(tmp_path / "models/memberships.npy", TRUTH.member)
    with pytest.raises(DataError, match=r"must be \[models, records\].*got \[40, 6\] \(it looks transposed\)"):
        FORMATS["privacy-meter"].read(tmp_path, Extras())
    layouts.privacy_meter(tmp_path, TRUTH)
    layouts.save(tmp_path / "signals/rmia_signals.npy", np.log(TRUTH.prob[:, :, 0]))
    with pytest.raises(DataError, match=r"probabilities must be 0\.\.1, got -.* --kind log_prob"):
        FORMATS["privacy-meter"].read(tmp_path, Extras())


@pytest.mark.parametrize("scores", [True, False])
def test_lira_reads_the_last_epoch_with_all_views(tmp_path, scores):
    """From scores, or from logits and y_train.npy where there are no scores."""
    layouts.lira(tmp_path, TWO_VIEWS, scores)
    found = FORMATS["lira"].read(tmp_path, Extras())
    check(found, TWO_VIEWS)
    np.testing.assert_array_equal(found.signals.audit["log_prob"].labels, TWO_VIEWS.labels)
    assert (found.about["epochs"], found.about["batch_norm"]) == (["0000000100"], "batch")
    layouts.save(tmp_path / "ids.npy", np.arange(40))  # as raymeter's own export has it, which says nothing of this
    assert "batch_norm" not in FORMATS["lira"].read(tmp_path, Extras()).about


def test_lira_keeps_logits_where_they_are_asked_for(tmp_path):
    """They come back as [records, models, views, classes]."""
    layouts.lira(tmp_path, TWO_VIEWS)
    found = FORMATS["lira"].read(tmp_path, Extras(logits=True))
    np.testing.assert_array_equal(found.signals.audit_logits, TWO_VIEWS.logits)


def test_lira_says_which_experiments_are_missing(tmp_path):
    """Experiments 1 and 4 of 6 are not there; another set of experiments is refused."""
    layouts.lira(tmp_path, TRUTH)
    for m in (1, 4):
        (tmp_path / f"experiment-{m}_6").rename(tmp_path / f"gone-{m}")
    found = FORMATS["lira"].read(tmp_path, Extras())
    assert found.notes[0] == "2 of 6 experiments are not there: [1, 4]"
    np.testing.assert_array_equal(found.signals.audit["log_prob"].member, TRUTH.member[:, [0, 2, 3, 5]])
    (tmp_path / "gone-1").rename(tmp_path / "experiment-1_8")
    with pytest.raises(DataError, match=r"mixes sets of \[6, 8\] experiments"):
        FORMATS["lira"].read(tmp_path, Extras())


def test_lira_pytorch_orders_models_by_number(tmp_path):
    """Directories 0, 1, ..., 10 and not 0, 1, 10, 2."""
    found = layouts.truth(models=12)
    layouts.lira_pytorch(tmp_path, found)
    imported = FORMATS["lira"].read(tmp_path, Extras())
    check(imported, found)
    assert imported.about["models"] == [str(m) for m in range(12)]


def test_lira_refuses_models_that_do_not_fit(tmp_path):
    """Fewer records in one model, and a keep.npy of another length."""
    layouts.lira_pytorch(tmp_path, TRUTH)
    layouts.save(tmp_path / "2/scores.npy", TRUTH.gap[:39, 2])
    with pytest.raises(DataError, match=r"2 has \[39, 1\] records and views, .*0 has \[40, 1\]"):
        FORMATS["lira"].read(tmp_path, Extras())
    layouts.lira_pytorch(tmp_path, TRUTH)
    layouts.save(tmp_path / "3/keep.npy", TRUTH.member[:20, 3])
    with pytest.raises(DataError, match=r"3/keep.npy must be of 40 records, as the signals are, got \[20\]"):
        FORMATS["lira"].read(tmp_path, Extras())


def test_lira_analysis_reads_signals_and_final_scores(tmp_path):
    """Masks are model-major; final scores become tables."""
    layouts.lira_analysis(tmp_path, TWO_VIEWS)
    found = FORMATS["lira-analysis"].read(tmp_path, Extras())
    check(found, TWO_VIEWS)
    np.testing.assert_allclose(found.scores["online"].values, TWO_VIEWS.gap.mean(axis=2))
    np.testing.assert_array_equal(found.scores["online"].member, TWO_VIEWS.member)


def test_lira_analysis_refuses_masks_that_contradict_each_other(tmp_path):
    """Turned round, or different in one entry."""
    layouts.lira_analysis(tmp_path, TRUTH)
    wrong = TRUTH.member.T.copy()
    wrong[0, 0] ^= True
    layouts.save(tmp_path / "membership_labels.npy", wrong)
    with pytest.raises(DataError, match="disagree on who was a member"):
        FORMATS["lira-analysis"].read(tmp_path, Extras())
    layouts.save(tmp_path / "keep_indices.npy", TRUTH.member)
    with pytest.raises(DataError, match=r"must be \[models, records\] = \[6, 40\], got \[40, 6\]: it is transposed"):
        FORMATS["lira-analysis"].read(tmp_path, Extras())


def test_leakpro_lines_rows_up_by_record(tmp_path):
    """Every shadow model's rows stand in an order of their own; only the target is attacked."""
    ids = layouts.leakpro(tmp_path, TRUTH)
    found = FORMATS["leakpro"].read(tmp_path, Extras(logits=True))
    check(found, TRUTH, rows=ids)
    matrix = found.signals.audit["logit_gap"]
    np.testing.assert_array_equal(matrix.ids, ids)
    np.testing.assert_array_equal(found.signals.audit_logits, TRUTH.logits[ids])
    assert matrix.targets.tolist() == [0]


def test_leakpro_without_hashes_in_its_names_is_the_same(tmp_path):
    """Some versions write sm_0_logits.npy."""
    ids = layouts.leakpro(tmp_path, TRUTH)
    for path in (tmp_path / "attack_cache").glob("*.npy"):
        path.rename(path.with_name(path.name.replace("_ab12", "").replace("_cd34", "")))
    check(FORMATS["leakpro"].read(tmp_path, Extras()), TRUTH, rows=ids)


def test_leakpro_gives_the_command_that_writes_its_pickles_down(tmp_path):
    """Without the plain file the error has a command, and that command works on such pickles."""
    layouts.leakpro(tmp_path, TRUTH)
    plain = tmp_path / "attack_cache/raymeter_members.npz"
    wanted = load_arrays(plain)
    plain.unlink()
    with pytest.raises(DataError, match="LeakPro's pickles, which raymeter does not read") as caught:
        FORMATS["leakpro"].read(tmp_path, Extras())
    folder = tmp_path / "attack_objects/shadow_model"
    folder.mkdir(parents=True)
    for name in (n for n in wanted if n.startswith("sm_")):
        (folder / f"metadata_{name[3:]}.pkl").write_bytes(pickle.dumps(Trained(wanted[name].tolist())))
    (tmp_path / "model_metadata.pkl").write_bytes(pickle.dumps(Trained(wanted["target"].tolist())))
    (tmp_path / "data.pkl").write_bytes(pickle.dumps(Trained([], wanted["labels"])))
    code = re.search(r'python -c "(.*)"$', str(caught.value))[1]
    code = code.replace("TARGET_FOLDER", str(tmp_path)).replace("DATA_PATH", str(tmp_path / "data.pkl"))
    for place in ("attack_objects", "attack_cache"):
        code = code.replace(f"'{place}", f"'{tmp_path}/{place}")
    exec(code, {})
    written = load_arrays(plain)
    assert written.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(written[name], array)


class Trained:
    """Stands in for what LeakPro pickles: an object with train_indices, or with targets."""

    def __init__(self, train_indices, targets=None):
        self.train_indices, self.targets = train_indices, targets


def test_leakpro_refuses_caches_that_do_not_line_up(tmp_path):
    """A shadow model that lacks records, and two targets in one cache."""
    layouts.leakpro(tmp_path, TRUTH)
    cache = tmp_path / "attack_cache"
    rows = load_array(cache / "sm_2_cd34_indices.npy")
    layouts.save(cache / "sm_2_cd34_indices.npy", np.where(rows == 5, 99, rows))
    with pytest.raises(DataError, match="lacks 1 of the target's records, the first is 5; clear the cache"):
        FORMATS["leakpro"].read(tmp_path, Extras())
    layouts.save(cache / "target_ff_logits.npy", TRUTH.logits[:, 0, 0])
    with pytest.raises(DataError, match="caches of several targets"):
        FORMATS["leakpro"].read(tmp_path, Extras())


@pytest.mark.parametrize("as_csv", [True, False])
def test_privacyguard_reads_its_frames(tmp_path, as_csv):
    """Training rows are members of the target; user_id names the records."""
    layouts.privacyguard(tmp_path, TRUTH, as_csv)
    found = FORMATS["privacyguard"].read(tmp_path, Extras())
    matrix = found.signals.audit["log_prob"]
    check(found, TRUTH, "log_prob", matrix.ids - 100)
    assert matrix.targets.tolist() == [0]
    assert sorted(matrix.ids.tolist()) == list(range(100, 140))
    assert len(found.signals.population["log_prob"].values) == 15


@pytest.mark.parametrize(("one", "nothing"), [(1.0, 0.0), (1, 0)])
@pytest.mark.parametrize("as_csv", [True, False])
def test_privacyguard_takes_certain_answers(tmp_path, as_csv, one, nothing):
    """A tree or a label-only model: exactly 1, in float64 or whole numbers, was refused as not finite."""
    layouts.privacyguard(tmp_path, TRUTH, as_csv)
    right = np.where(np.arange(20) % 3 > 0, one, nothing)
    for part, first in (("df_train_merge", 0), ("df_test_merge", 20)):
        columns = {"user_id": first + np.arange(20), "score_orig": right}
        columns |= {"score_ref_0": right[::-1], "member_ref_0": np.arange(20) % 2}
        layouts._write(tmp_path / part, columns, as_csv)
    layouts._write(tmp_path / "df_population", {"score_orig": right, "score_ref_0": right}, as_csv)
    found = FORMATS["privacyguard"].read(tmp_path, Extras())
    gap = found.signals.audit["logit_gap"].values[:20, 0, 0]
    np.testing.assert_allclose(gap, np.where(right == 1, 54 * np.log(2), -1075 * np.log(2)), rtol=1e-6)
    assert found.notes[0].startswith("80 signals (100.0%) were rounded to a probability of 0 or 1")


def test_privacyguard_keeps_final_scores_and_text_names(tmp_path):
    """A column `score` becomes a table of scores; ids of text stay as they are."""
    layouts.privacyguard(tmp_path, TRUTH)
    for part, score in (("df_train_merge", 2.0), ("df_test_merge", 1.0)):
        frame = parquet.read_table(tmp_path / f"{part}.parquet")
        users = pa.array([f"u{i}" for i in frame.column("user_id").to_pylist()])
        frame = frame.drop_columns("user_id").append_column("user_id", users)
        frame = frame.append_column("score", pa.array(np.full(len(frame), score)))
        parquet.write_table(frame, tmp_path / f"{part}.parquet")
    found = FORMATS["privacyguard"].read(tmp_path, Extras())
    matrix, scores = found.signals.audit["log_prob"], found.scores["privacyguard"]
    check(found, TRUTH, "log_prob", np.array([int(name[1:]) - 100 for name in matrix.ids]))
    assert sorted(matrix.ids.tolist()) == [f"u{i}" for i in range(100, 140)]
    np.testing.assert_array_equal(scores.values[:, 0], np.where(scores.member[:, 0], 2.0, 1.0))
    np.testing.assert_array_equal(scores.ids, matrix.ids)


@pytest.mark.parametrize("part", ["df_train_merge", "df_test_merge", "df_population"])
def test_privacyguard_names_the_frame_of_a_missing_value(tmp_path, part):
    """One in the frame of test rows was told as a row of the training frame."""
    layouts.privacyguard(tmp_path, TRUTH)
    frame = parquet.read_table(tmp_path / f"{part}.parquet")
    gaps = np.asarray(frame.column("score_ref_1").to_numpy()).copy()
    gaps[3:5] = np.nan
    position = frame.column_names.index("score_ref_1")
    parquet.write_table(frame.set_column(position, "score_ref_1", pa.array(gaps)), tmp_path / f"{part}.parquet")
    message = f"{part}: 2 of {len(frame)} rows have missing or infinite values; the first is row 3, column score_ref_1"
    with pytest.raises(DataError, match=message):
        FORMATS["privacyguard"].read(tmp_path, Extras())


def test_privacyguard_refuses_aggregates_and_rows_without_a_name(tmp_path):
    """Means over reference models are no signals; without user_id the ids must be given."""
    layouts.privacyguard(tmp_path, TRUTH)
    layouts._write(tmp_path / "df_train_merge", {"user_id": np.arange(3), "score_mean_in": np.ones(3)}, False)
    with pytest.raises(DataError, match="aggregates over reference models.*raymeter score"):
        FORMATS["privacyguard"].read(tmp_path, Extras())
    for name in ("df_train_merge", "df_test_merge"):
        columns = {"score_orig": np.full(3, 0.5), "score_ref_0": np.full(3, 0.5), "member_ref_0": np.zeros(3, bool)}
        layouts._write(tmp_path / name, columns, False)
    with pytest.raises(DataError, match="no column user_id or separable_id .* or give --ids"):
        FORMATS["privacyguard"].read(tmp_path, Extras())


@pytest.mark.parametrize("name", ["privacy-meter", "lira", "lira-analysis", "leakpro", "privacyguard"])
def test_an_empty_directory_is_no_result(tmp_path, name):
    """Each format says what it looks for."""
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        FORMATS[name].read(tmp_path, Extras())
    with pytest.raises(DataError, match="nowhere"):
        FORMATS[name].read(Path("nowhere"), Extras())


def test_pickled_arrays_are_refused_with_a_command_that_converts_them(tmp_path):
    """An .npy with objects is not unpickled; the command in the message writes plain numbers."""
    path = tmp_path / "old.npy"
    np.save(path, np.array([[True, False], [False, True]], dtype=object))
    with pytest.raises(DataError, match="raymeter unpickles nothing") as caught:
        load_array(path)
    exec(re.search(r'python -c "(.*)"$', str(caught.value))[1], {})
    np.testing.assert_array_equal(load_array(tmp_path / "old.plain.npy"), [[True, False], [False, True]])
    np.savez(tmp_path / "old.npz", signals=np.array([None, 1], dtype=object))
    with pytest.raises(DataError, match="holds pickled Python objects"):
        load_arrays(tmp_path / "old.npz")


def test_tensors_are_read_and_objects_beside_them_refused(tmp_path):
    """torch.save of a tensor is data; of an object it is a program."""
    torch.save(torch.arange(6.0).reshape(3, 2), tmp_path / "plain.pt")
    np.testing.assert_array_equal(load_array(tmp_path / "plain.pt"), np.arange(6.0).reshape(3, 2))
    torch.save({"signals": torch.zeros(2)}, tmp_path / "mapping.pt")
    with pytest.raises(DataError, match="holds a dict where one tensor is needed"):
        load_array(tmp_path / "mapping.pt")
    torch.save(Trained([1]), tmp_path / "object.pt")
    with pytest.raises(DataError, match="holds more than plain tensors"):
        load_array(tmp_path / "object.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "plain.pt").read_bytes()[:200])
    with pytest.raises(DataError, match="is damaged or not a torch file"):
        load_array(tmp_path / "cut.pt")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_that_claim_more_than_their_file_holds_are_refused(tmp_path, monkeypatch):
    """One that repeats a value, a sparse one, and an archive that was packed: none is written out."""
    torch.save(torch.zeros(1).expand(2**30, 4), tmp_path / "repeated.pt")
    with pytest.raises(
        DataError, match=r"holds a tensor \[1073741824, 4\] that repeats its values; save it with .cont"
    ):
        load_array(tmp_path / "repeated.pt")
    torch.save(torch.eye(2).to_sparse().sparse_resize_((2**20, 2**20), 2, 0), tmp_path / "sparse.pt")
    with pytest.raises(
        DataError, match=r"is sparse, \[1048576, 1048576\], and would take 4.1e\+03 GiB .*, 1 GiB at most"
    ):
        load_array(tmp_path / "sparse.pt")
    monkeypatch.setattr("raymeter.schema.array_files.UNPACKED", 2**20)
    torch.save(torch.zeros(2**20), tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, zipfile.ZipFile(tmp_path / "bomb.pt", "w", 8) as packed:
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member))
    with pytest.raises(DataError, match=r"bomb.pt cannot be read: it would unpack to 0.00391 GiB, \d+ times its size"):
        load_array(tmp_path / "bomb.pt")


def test_a_parquet_file_that_claims_more_rows_than_fit_is_refused(tmp_path, monkeypatch):
    """Equal values take no room in Parquet: a file of some kilobytes may hold any number of rows."""
    parquet.write_table(
        pa.table({"id": np.zeros(3_000_000, np.int64), "score": np.zeros(3_000_000)}), tmp_path / "a.parquet"
    )
    assert read_table(tmp_path / "a.parquet").num_rows == 3_000_000
    monkeypatch.setattr("raymeter.formats.parquet_files.UNPACKED", 2**20)
    monkeypatch.setattr("raymeter.formats.parquet_files.EXPANSION", 100)
    with pytest.raises(
        DataError, match="a.parquet cannot be read .it says 3,000,000 rows of 2 columns, 0.0447 GiB, and"
    ):
        read_table(tmp_path / "a.parquet")


def test_pipes_and_devices_are_no_files_of_signals(tmp_path):
    """At once, with a line."""
    os.mkfifo(tmp_path / "pipe.npy")
    for suffix in (".npz", ".pt", ".csv", ".parquet"):
        (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name, read in {
        "pipe.npy": load_array, "zero.npz": load_arrays, "zero.pt": load_array, "zero.csv": read_table,
        "zero.parquet": read_table,
    }.items():  # fmt: skip
        with pytest.raises(DataError, match=f"{name} cannot be read .*it is a (pipe|device), and a file is needed"):
            read(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "kept",
    [
        lambda values: values.to(torch.bfloat16),
        lambda values: values.to(torch.float8_e5m2),
        lambda values: values.requires_grad_(),
        lambda values: torch.nn.Parameter(values),
        lambda values: values.to_sparse(),
        lambda values: values.to_sparse_csr(),
    ],
)
def test_tensors_that_numpy_cannot_take_are_read(tmp_path, kept):
    """They ended in a traceback of torch."""
    torch.save(kept(torch.tensor([[0.0, 1.0], [0.5, 2.0]])), tmp_path / "a.pt")
    found = load_array(tmp_path / "a.pt")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0.0, 1.0], [0.5, 2.0]])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_without_an_array_are_one_line(tmp_path):
    """A nested tensor, a sparse one that would fill the memory, and one of four-bit numbers."""
    torch.save(torch.nested.as_nested_tensor([torch.ones(2), torch.ones(3)]), tmp_path / "nested.pt")
    with pytest.raises(DataError, match="is a nested tensor, whose rows may differ in length"):
        load_array(tmp_path / "nested.pt")
    torch.save(torch.eye(2).to_sparse().sparse_resize_((10**6, 10**6), 2, 0), tmp_path / "large.pt")
    with pytest.raises(DataError, match=r"is sparse, \[1000000, 1000000\], and would take 3.73e\+03 GiB"):
        load_array(tmp_path / "large.pt")
    torch.save(torch.zeros(2, dtype=torch.float4_e2m1fn_x2), tmp_path / "four.pt")
    with pytest.raises(DataError, match="of which NumPy makes no array"):
        load_array(tmp_path / "four.pt")
