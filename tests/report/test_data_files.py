"""The report's files: their names, order and content, read back with the tools that users have."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet
from results import sample, written

from raymeter.report.data_files import plain, write_averages, write_metrics, write_records, write_targets, write_timings
from raymeter.report.write import WRITERS
from raymeter.schema.results import AuditResult, BlindAnswer, BlindResult, Interval, MeanInterval, PowerPoint
from raymeter.stats import compare_attacks, compare_thresholds, group_metrics, roc_curve

ODD = "_a/../b [red]$x^{"


def strict(data: bytes) -> dict:
    """JSON, refusing the NaN and Infinity that Python alone would accept."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(data, parse_constant=refuse)


def test_report_holds_the_files_of_privacy_meter_and_metrics_last():
    """Two targets give these files; metrics.json, which says that the report is complete, ends them."""
    files = list(written(sample(targets=2)))
    per_target = [f"exp/{name}_{i}" for i in range(2) for name in ("ROC", "ROC_log", "attack_result")]
    expected = [f"{path}.npz" if "attack" in path else f"{path}.png" for path in per_target]
    expected += ["ROC_average.png", "ROC_log_average.png", "attack_result_average.csv", "log_time_analysis.log"]
    assert {*expected, "records.parquet", "page.json", "index.html", "metrics.json"} <= set(files)
    assert files[-1] == "metrics.json"
    assert list(WRITERS)[-1] == "metrics"


def test_odd_attack_names_never_reach_a_path():
    """An attack called like a path, markup and a formula gives the same files, with its name inside them."""
    files = written(sample(("loss", ODD), targets=2))
    assert set(files) == set(written(sample(targets=2)))
    assert ODD in strict(files["metrics.json"])["attacks"]
    assert pd.read_csv(io.BytesIO(files["attack_result_average.csv"]))["attack"].tolist() == ["loss", ODD]
    with np.load(io.BytesIO(files["exp/attack_result_0.npz"]), allow_pickle=False) as arrays:
        assert f"{ODD}_fpr" in arrays


def test_metrics_json_has_the_documented_keys():
    """Keys and values are those that users rely on, for the mean and for every target."""
    result = sample()
    metrics = strict(dict(write_metrics(result))["metrics.json"])
    overlap = "overlap_of_the_100_riskiest_records_in_two_halves_of_the_targets"
    extras = ["comparisons", "power", "main_attack", "finding", "doubts", "groups", "blind_baseline", overlap]
    assert list(metrics) == ["attacks", *extras, "timings", "provenance"]
    assert list(metrics["attacks"]) == ["loss", "rmia", "lira"]
    assert metrics["main_attack"] == metrics["groups"]["attack"] == "rmia"
    rmia, expected = metrics["attacks"]["rmia"], result.attacks[1]
    pooled = "pooled_auc_not_calibrated_across_targets"
    assert set(rmia) == {"auc", "tpr_at_fpr", "targets", "thresholds", pooled, "settings"}
    assert set(rmia["auc"]) == {"estimate", "low", "high", "sd", "targets"}
    assert rmia["auc"]["estimate"] == expected.auc.estimate
    assert set(rmia["tpr_at_fpr"]) == {"0.01", "0.001", "0"}
    assert {"estimate", "low", "high", "sd", "resolvable"} <= set(rmia["tpr_at_fpr"]["0.001"])
    assert rmia["tpr_at_fpr"]["0.001"]["resolvable"] is False
    assert rmia["tpr_at_fpr"]["0"]["resolvable"] is True
    assert len(rmia["targets"]) == 4
    target = rmia["targets"][3]
    assert set(target) == {"target", "members", "non_members", "auc", "tpr_at_fpr"}
    assert (target["target"], target["members"] + target["non_members"]) == (3, 120)
    assert set(target["auc"]) == {"estimate", "low", "high"}
    assert set(target["tpr_at_fpr"]["0.01"]) == {"estimate", "low", "high", "false_positives", "resolvable"}
    assert rmia["settings"] == {"gamma": 2.0}
    assert metrics["timings"] == {"Load Dataset": 1.234, "Load or Train Models": 60.0}


def test_metrics_json_is_strict_and_the_same_every_time():
    """NaN in the provenance becomes null, NumPy numbers become numbers, and the bytes do not vary."""
    data = dict(write_metrics(sample()))["metrics.json"]
    assert strict(data)["provenance"] == {"seed": 7, "loss": None, "date": "2026-01-02"}
    assert data == dict(write_metrics(sample()))["metrics.json"]
    assert b'\n  "attacks": {\n' in data


def test_plain_converts_what_json_does_not_know():
    """Dataclasses, arrays, NumPy scalars, paths, dates and numbers that are not finite."""

    @dataclass
    class Point:
        x: float

    value = {1: Point(np.inf), "a": np.array([[1.5, np.nan]]), "b": (np.bool_(True), PurePosixPath("m/w"), None)}
    assert plain(value) == {"1": {"x": None}, "a": [[1.5, None]], "b": [True, "m/w", None]}


def test_metrics_json_refuses_what_it_cannot_say():
    """A value of an unknown type is an error, not a string that looks like data."""
    result = sample()
    broken = AuditResult(result.attacks, result.records, {}, {"what": object()})
    with pytest.raises(TypeError, match="object is not JSON serializable"):
        list(write_metrics(broken))


def test_average_csv_has_one_row_per_attack():
    """pandas reads names, means, intervals, standard deviations and whether a rate can be resolved."""
    result = sample()
    table = pd.read_csv(io.BytesIO(dict(write_averages(result))["attack_result_average.csv"]))
    rates = [f"tpr_at_fpr_{r}{s}" for r in ("0.01", "0.001", "0") for s in ("", "_low", "_high", "_sd", "_resolvable")]
    assert table.columns.tolist() == ["attack", "auc", "auc_low", "auc_high", "auc_sd", *rates, "targets"]
    assert table["attack"].tolist() == ["loss", "rmia", "lira"]
    assert table["auc"].tolist() == [attack.auc.estimate for attack in result.attacks]
    assert table["tpr_at_fpr_0_high"].tolist() == [attack.tpr_at_fpr["0"].high for attack in result.attacks]
    assert table["tpr_at_fpr_0.001_resolvable"].tolist() == [False] * 3
    assert table["targets"].tolist() == [4] * 3


def test_target_npz_holds_the_main_attack_under_privacy_meters_keys():
    """The main attack has Privacy Meter's keys; every attack, that one too, has keys of its own."""
    result = sample()
    files = dict(write_targets(result))
    assert len(files) == 4
    with np.load(io.BytesIO(files["exp/attack_result_2.npz"]), allow_pickle=False) as arrays:
        found = dict(arrays)
    keys = {"fpr", "tpr", "auc", "one_tenth_fpr", "zero_fpr", "scores"}
    assert set(found) == keys | {"memberships"} | {f"{name}_{key}" for name in ("loss", "rmia", "lira") for key in keys}
    scores, target = result.attacks[1].scores, result.attacks[1].targets[2]
    assert all(np.array_equal(found[key], found[f"rmia_{key}"]) for key in keys)
    assert np.array_equal(found["scores"], scores.values[:, 2])
    assert np.array_equal(found["memberships"], scores.member[:, 2])
    assert np.array_equal(found["fpr"], roc_curve(found["scores"], found["memberships"])[0])
    assert found["auc"] == target.auc.estimate
    assert (found["one_tenth_fpr"], found["zero_fpr"]) == tuple(target.tpr_at_fpr[r].estimate for r in ("0.001", "0"))


def test_target_npz_of_the_loss_attack_alone():
    """With no other attack the loss attack is the main one; Privacy Meter's keys win against odd names."""
    files = dict(write_targets(sample(("loss",), targets=2)))
    with np.load(io.BytesIO(files["exp/attack_result_0.npz"]), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["scores"], arrays["loss_scores"])
    files = dict(write_targets(sample(("zero", "rmia"), targets=2)))
    with np.load(io.BytesIO(files["exp/attack_result_0.npz"]), allow_pickle=False) as arrays:
        assert arrays["zero_fpr"].shape == ()


def test_records_parquet_returns_every_column():
    """Values come back; a mean over no targets is null, so that SQL leaves it out as pandas does."""
    result = sample()
    table = parquet.read_table(io.BytesIO(dict(write_records(result))["records.parquet"]))
    assert table.column_names == list(result.records)
    for name, column in result.records.items():
        np.testing.assert_array_equal(table[name].to_numpy(), column)
    assert np.isnan(result.records["rmia_mean_in"][-1])
    assert table["rmia_mean_in"].null_count == 1


def test_timing_log_has_one_line_per_stage():
    """Stages stand in the order they ran, with seconds; no stages, no lines."""
    result = sample()
    log = dict(write_timings(result))["log_time_analysis.log"].decode()
    assert log == "Load Dataset: 1.23 s\nLoad or Train Models: 60.00 s\n"
    none = AuditResult(result.attacks, {}, {}, {})
    assert dict(write_timings(none))["log_time_analysis.log"] == b""


def analysed() -> AuditResult:
    """The sample with a power curve, groups, transferred thresholds and a blind baseline that warns."""
    result = sample()
    scores = [attack.scores for attack in result.attacks]
    clusters = np.array([0, 0, 1, 1])
    transferred = np.full((4, 1), 1.0)
    attacks = tuple(
        replace(attack, thresholds=compare_thresholds(attack.scores, transferred, [0.01], clusters), pooled_auc=0.6)
        for attack in result.attacks
    )
    mean = MeanInterval(0.6, 0.5, 0.7, 0.1, 4)
    power = {"rmia": tuple(PowerPoint(n, mean, mean, 0.001, False) for n in (1, 2))}
    groups = np.where(np.arange(120) < 119, "a", "only one")
    return replace(
        result,
        attacks=attacks,
        comparisons=compare_attacks(scores, clusters),
        power=power,
        groups={"class": group_metrics(scores[1], groups, clusters, seed=0, permutations=9)},
        main="rmia",
        blind=BlindResult((BlindAnswer("pool from population", "forest", Interval(0.7, 0.6, 0.8), 99),), True),
    )


def test_power_csv_has_a_row_per_point():
    """AUC and TPR with their intervals, and whether the rate is resolvable."""
    table = pd.read_csv(io.BytesIO(written(analysed())["power.csv"]))
    assert table["references"].tolist() == [1, 2]
    assert table.loc[0, ["attack", "auc", "auc_low", "tpr_high"]].tolist() == ["rmia", 0.6, 0.5, 0.7]
    assert not table["tpr_resolvable"].any()


def test_groups_csv_lists_small_groups_with_empty_cells():
    """A group of one record has no AUC, and says how many records it has."""
    table = pd.read_csv(io.BytesIO(written(analysed())["groups.csv"]))
    assert table["group"].tolist() == ["a", "only one"]
    assert table["records"].tolist() == [119, 1]
    assert np.isnan(table["auc"][1]) and table["auc"][0] > 0.5
    assert table["p_value_holm"].isna().all()  # no target trained on the one record, so the other has no counterpart


def test_groups_that_begin_like_a_formula_are_text():
    """A spreadsheet computes what begins with = + - @; a negative number is one."""
    result = analysed()
    groups = np.where(np.arange(120) < 60, "=cmd|' /C calc'!A0", "-1")
    table = group_metrics(result.attacks[1].scores, groups, np.array([0, 0, 1, 1]), seed=0, permutations=9)
    text = written(replace(result, groups={"@grouping": table}))["groups.csv"].decode()
    rows = list(csv.reader(io.StringIO(text)))[1:]
    assert [(row[0], row[2]) for row in rows] == [("'@grouping", "-1"), ("'@grouping", "'=cmd|' /C calc'!A0")]


def test_metrics_json_holds_thresholds_comparisons_groups_and_the_baseline():
    """Each with its intervals; what is not defined is null."""
    metrics = strict(written(analysed())["metrics.json"])
    thresholds = metrics["attacks"]["lira"]["thresholds"]["0.01"]
    assert set(thresholds) == {"transferred", "oracle"}
    assert thresholds["transferred"]["targets"][0]["threshold"] == 1.0
    assert set(thresholds["oracle"]["ppv"]) == {"0.5", "0.1", "0.01"}
    assert [(c["first"], c["second"]) for c in metrics["comparisons"]][0] == ("loss", "rmia")
    assert metrics["groups"]["attack"] == "rmia"
    assert metrics["groups"]["class"]["groups"][1]["auc"] is None
    assert metrics["blind_baseline"]["warns"] is True
    assert metrics["power"]["rmia"][1]["references"] == 2


def test_power_picture_is_a_png_and_only_there_with_a_curve():
    """With a curve power.png, without one no file."""
    assert written(analysed())["power.png"].startswith(b"\x89PNG")
    assert not {"power.png", "power.csv", "groups.csv"} & set(written(sample()))


def test_records_with_undefined_coin_flips_are_null():
    """With two targets a record there is no answer, and Parquet says null, not False."""
    table = parquet.read_table(io.BytesIO(written(sample())["records.parquet"]))
    assert table.column("rmia_coin_flip").null_count == 120
    assert str(table.schema.field("rmia_coin_flip").type) == "bool"


def test_timeline_holds_stages_models_and_attempts():
    """One file for who did what and when; an audit that knows nothing of it writes none."""
    attempt = {"model": 1, "slot": "a-0", "attempt": 2, "node": "n", "started": 1.0, "ended": 2.5, "outcome": "done"}
    result = replace(sample(targets=2), timeline={"models": [{"index": 1, "node": "n"}], "attempts": [attempt]})
    content = strict(written(result)["timeline.json"])
    assert content["stages"][0] == {"stage": "Load Dataset", "seconds": 1.234}
    assert content["models"] == [{"index": 1, "node": "n"}]
    assert content["attempts"] == [attempt]
