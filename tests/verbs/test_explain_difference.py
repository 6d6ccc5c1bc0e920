"""raymeter explain-difference: a planted difference is named, what is alike is not, and the shares add up."""

from __future__ import annotations

import json
from dataclasses import replace

import layouts
import numpy as np
import pytest
from scipy.stats import norm

from raymeter.analysis.differences.findings import Explanation, explain_difference
from raymeter.analysis.differences.published_lira import log_density_scores
from raymeter.analysis.differences.recognise import recognise
from raymeter.analysis.differences.walk import Side
from raymeter.attacks import Lira, Rmia
from raymeter.cli.main import main
from raymeter.errors import SignalError
from raymeter.formats import Extras, Imported, arrays
from raymeter.formats.tables import write_scores
from raymeter.pipeline.exchange import save
from raymeter.schema import Scores, Signals
from raymeter.storage.run_store import RunStore

TRUTH = layouts.truth(records=200, models=8)


@pytest.fixture(scope="module")
def signals(tmp_path_factory) -> Signals:
    """Signals of eight models with a population."""
    path = tmp_path_factory.mktemp("signals") / "s.npz"
    outside = layouts.true_class(TRUTH.population, TRUTH.population_labels)
    np.savez(path, signals=TRUTH.prob, member=TRUTH.member, population=outside)
    return arrays.read(path, Extras(kind="prob")).signals


def changed(signals: Signals, **changes) -> Signals:
    """The same with other memberships, references or values in every kind."""
    audit = {}
    for kind, matrix in signals.audit.items():
        mine = {name: change(matrix) for name, change in changes.items()}
        audit[kind] = replace(matrix, **mine)
    return replace(signals, audit=audit)


def compared(one: Signals, other: Signals, attacks=None, others=None, **facts) -> Explanation:
    """Two results whose attacks are LiRA and RMIA."""
    attacks = attacks or {"lira": Lira(), "rmia": Rmia()}
    a = Side("A", one, attacks, facts=facts.get("a", {}))
    return explain_difference(a, Side("B", other, others or attacks, facts=facts.get("b", {})))


def differing(found: Explanation) -> list[str]:
    return [finding.what for finding in found.findings if finding.differs]


def test_equal_results_differ_in_nothing(signals):
    """No finding, and a walk of one step."""
    found = compared(signals, signals)
    assert differing(found) == []
    assert [step.what for step in found.walks["lira"]] == ["A"]


def test_settings_are_named_with_both_values_and_explain_the_whole_change(signals):
    """a, gamma, variance, and online's density ratio against offline's tail."""
    attacks = {"lira": Lira("offline", "global"), "rmia": Rmia(offline_a=0.9, gamma=2.0, form="count")}
    found = compared(signals, signals, others=attacks)
    texts = [finding.text for finding in found.findings if finding.differs]
    for text in (
        "lira.variance: nig against global",
        "lira: scores are a log-density ratio against a one-sided tail",
        "rmia.offline_a: 0.3 against 0.9",
        "rmia.gamma: 1.0 against 2.0",
        "rmia.form: log_ratio against count",
    ):
        assert text in texts
    steps = found.walks["rmia"]
    assert [step.what for step in steps] == ["A", "settings"]
    assert steps[1].change == pytest.approx(steps[1].auc.estimate - steps[0].auc.estimate)


def test_batch_statistics_are_named_where_both_sides_know_how_models_normalised(signals):
    """Together with what they do to the signals."""
    noise = np.random.default_rng(0).normal(size=(200, 8, 1)).astype(np.float32)
    other = changed(
        signals, values=lambda m: np.minimum(m.values + noise, 0) if m.kind == "log_prob" else m.values + noise
    )
    found = compared(signals, other, a={"batch_norm": "eval"}, b={"batch_norm": "batch"})
    assert differing(found) == ["batch norm", "signals"]
    steps = found.walks["lira"]
    assert [step.what for step in steps] == ["A", "signals and population"]
    assert steps[1].change < -0.01


def test_masks_are_told_apart(signals):
    """A wrong membership, a complement among the references, and inverted memberships."""

    def one_wrong(matrix):
        member = matrix.member.copy()
        member[3, 2] ^= True
        return member

    found = compared(signals, changed(signals, member=one_wrong))
    assert differing(found) == ["memberships"]
    assert "memberships: 1 of 1600 entries differ" in [finding.text for finding in found.findings]
    found = compared(signals, changed(signals, member=lambda m: ~m.member))
    assert differing(found) == ["memberships"]
    assert any(finding.text.endswith("1 means non-member in one of them") for finding in found.findings)
    everyone = changed(signals, reference=lambda m: ~np.eye(8, dtype=bool))
    found = compared(signals, everyone)
    assert differing(found) == ["references"]
    (text,) = [finding.text for finding in found.findings if finding.differs]
    assert "6 to 6 references each; B: 8 targets, 7 to 7 references each, the complement among those of 8" in text
    assert [step.what for step in found.walks["lira"]] == ["A", "references and targets"]


def test_models_in_another_order_are_found_by_their_members(signals):
    """Columns turned round change no figure."""
    order = np.array([5, 2, 0, 7, 1, 3, 4, 6])

    def moved(matrix):
        values, member = matrix.values[:, order], matrix.member[:, order]
        return replace(matrix, values=values, member=member, reference=matrix.reference[np.ix_(order, order)])

    parts = {part: {k: moved(m) for k, m in getattr(signals, part).items()} for part in ("audit", "population")}
    found = compared(signals, replace(signals, **parts))
    assert differing(found) == ["models"]
    steps = found.walks["lira"]
    assert steps[-1].auc.estimate == pytest.approx(steps[0].auc.estimate, abs=1e-9)


def test_the_walk_ends_at_the_other_result(signals):
    """Fewer records, other settings, masks and signals at once: the shares add up to the whole change."""
    rows = np.arange(20, 200)
    noise = np.random.default_rng(0).normal(size=(200, 8, 1)).astype(np.float32)

    def fewer(matrix):
        values = matrix.values - np.abs(noise)
        return replace(matrix, values=values[rows], member=matrix.member[rows], ids=matrix.ids[rows])

    other = replace(signals, audit={kind: fewer(matrix) for kind, matrix in signals.audit.items()})
    found = compared(signals, other, others={"lira": Lira(variance="global"), "rmia": Rmia()})
    steps = found.walks["lira"]
    assert [step.what for step in steps][:3] == ["A", "records in common", "settings"]
    assert sum(step.change for step in steps[1:]) == pytest.approx(steps[-1].auc.estimate - steps[0].auc.estimate)
    alone = compared(other, other, attacks={"lira": Lira(variance="global")})
    assert steps[-1].auc.estimate == pytest.approx(alone.walks["lira"][0].auc.estimate)


def authors_lira(signals, fixed):
    """The authors' online attack on every target, one record at a time, after their description."""
    matrix = signals.audit["logit_gap"]
    values, found = matrix.values[:, :, 0].astype(np.float64), np.empty((200, 8))
    for t in range(8):
        judges = np.flatnonzero(matrix.reference[t])
        sides = [[[values[r, m] for m in judges if matrix.member[r, m] == side] for r in range(200)] for side in (1, 0)]
        for r in range(200):
            inside, out = sides[0][r], sides[1][r]
            spread = (np.std(sides[0]),) * 2 if fixed else (np.std(inside), np.std(out))
            laws = [norm(np.median(side), sd + 1e-30) for side, sd in zip((inside, out), spread, strict=True)]
            found[r, t] = laws[0].logpdf(values[r, t]) - laws[1].logpdf(values[r, t])
    return found


def authors_offline(signals):
    """The log-density under the OUT references, which their code sweeps with the sign turned."""
    matrix = signals.audit["logit_gap"]
    values, found = matrix.values[:, :, 0].astype(np.float64), np.empty((200, 8))
    for r, t in np.ndindex(200, 8):
        out = [values[r, m] for m in range(8) if matrix.reference[t, m] and not matrix.member[r, m]]
        found[r, t] = norm(np.median(out), np.std(out) + 1e-30).logpdf(values[r, t])
    return found


WAYS = {
    "lira online, variance per_sample": lambda s: Lira(variance="per_sample")(s).values,
    "lira offline by its tail, variance global": lambda s: Lira("offline", "global")(s).values,
    "lira offline by its two-sided log-density, variance global": lambda s: log_density_scores(s, "global"),
    "lira online as its authors' code has it (medians), fixed variance": lambda s: authors_lira(s, True),
    "lira online as its authors' code has it (medians), own variance": lambda s: authors_lira(s, False),
    "lira offline as its authors' code has it (medians), own variance": lambda s: -authors_offline(s),
    "rmia offline, offline_a 0.6": lambda s: Rmia(offline_a=0.6)(s).values,
    "rmia online": lambda s: Rmia(mode="online")(s).values,
    "rmia offline by its count, offline_a 0.3, gamma 2": lambda s: Rmia(form="count", gamma=2.0)(s).values,
    "rmia online by its count, gamma 2": lambda s: Rmia("online", form="count", gamma=2.0)(s).values,
}


@pytest.mark.parametrize("name", WAYS)
def test_scores_are_recognised(signals, name):
    """Of 140 ways to make scores the right one comes first, whatever monotone scale they are on."""
    values = np.cbrt(WAYS[name](signals)) * 3 + 1
    matrix = signals.audit["log_prob"]
    order = np.random.default_rng(0).permutation(200)
    scores = Scores("score", values[order], matrix.member[order], matrix.ids[order], np.arange(8))
    best, _ = recognise(signals, scores)[0]
    assert best.name == name
    assert best.is_same


def test_a_complement_among_the_references_is_recognised(signals):
    """Scores that were made with it are told from those that were not."""
    everyone = changed(signals, reference=lambda m: ~np.eye(8, dtype=bool))
    scores = replace(Lira(variance="pooled")(everyone), attack="score")
    best, _ = recognise(signals, scores)[0]
    assert best.name == "lira online, variance pooled, with the target's complement among the references"


def privacy_meter(signals: Signals, a: float) -> np.ndarray:
    """Privacy Meter's run_rmia, record by record: zeros for members, sorted, the largest half kept; so for its population."""
    matrix, outside = signals.audit["log_prob"], signals.population["log_prob"]
    p, z = (np.exp(side.values[:, :, 0].astype(np.float64)) for side in (matrix, outside))
    scores = np.empty((len(p), 8))
    for t in range(8):
        judges = np.flatnonzero(matrix.reference[t])
        kept = len(judges) // 2

        def ratio(own, others, a=a, kept=kept):
            return own / ((1 + a) / 2 * np.mean(sorted(others)[::-1][:kept]) + (1 - a) / 2)

        ratios_z = np.array([ratio(z[i, t], z[i, judges]) for i in range(len(z))])
        for i in range(len(p)):
            others = p[i, judges] * ~matrix.member[i, judges]
            scores[i, t] = np.mean(ratio(p[i, t], others) > ratios_z)
    return scores


def test_privacy_meters_rmia_is_recognised_as_its_own(signals):
    """Regression: by rank correlation alone it was called rmia with a 0.3, though the top of its order ties."""
    matrix = signals.audit["log_prob"]
    scores = Scores("theirs", privacy_meter(signals, 0.3), matrix.member, matrix.ids, np.arange(8))
    best = recognise(signals, scores)[0][0]
    name = "rmia as Privacy Meter has it (population by the upper half of references), offline_a 0.3"
    assert (best.name, best.exact, best.variant, best.is_same) == (name, True, True, True)
    found = explain_difference(Side("A", signals, {"rmia": Rmia()}), Side("B", None, {}, {"theirs": scores}))
    texts = [finding.text for finding in found.findings if finding.differs]
    assert any(text.startswith(f"B's theirs orders records as {name} does on A's signals") for text in texts)


def test_an_order_that_agrees_but_for_the_top_is_not_the_same(signals):
    """The best records of each target tied, as a count ties them: the correlation stays, the TPR at 1 % does not."""
    matrix = signals.audit["log_prob"]
    values = Rmia()(signals).values
    tied = np.minimum(values, np.quantile(values, 0.97, axis=0))
    scores = Scores("tied", tied, matrix.member, matrix.ids, np.arange(8))
    own = next(match for match, _ in recognise(signals, scores) if match.name == "rmia offline, offline_a 0.3")
    assert own.correlation > 0.999 and own.apart > 0.005 and not own.is_same


def test_how_many_targets_are_equal_is_told(signals):
    """Seven of eight in the same order."""
    matrix = signals.audit["log_prob"]
    values = Rmia()(signals).values.copy()
    own = Scores("rmia", values, matrix.member, matrix.ids, np.arange(8))
    values = values.copy()
    values[:, 3] = np.random.default_rng(0).normal(size=len(values))
    other = replace(own, values=values)
    found = explain_difference(Side("A", None, {}, {"rmia": own}), Side("B", None, {}, {"rmia": other}))
    (text,) = [finding.text for finding in found.findings if finding.what == "scores"]
    assert text.endswith("; the same order in 7 of 8 targets") and "TPR at 1 % FPR" in text


def test_the_log_density_is_two_sided(signals):
    """Against the law written out for one record: large on both sides of the OUT mean."""
    matrix = signals.audit["logit_gap"]
    found = log_density_scores(signals, "per_sample")
    out = [m for m in range(8) if matrix.reference[0, m] and not matrix.member[5, m]]
    theirs = matrix.values[5, out, 0].astype(np.float64)
    var = theirs.var() + 1e-12
    wanted = 0.5 * np.log(2 * np.pi * var) + (matrix.values[5, 0, 0] - theirs.mean()) ** 2 / (2 * var)
    assert found[5, 0] == pytest.approx(wanted, rel=1e-6)


def test_results_without_a_common_record_are_refused(signals):
    """Rather than compared by position."""
    with pytest.raises(SignalError, match="no record in common; check that ids mean the same"):
        compared(signals, changed(signals, ids=lambda m: m.ids + 1000))


def test_command_on_tables_and_runs(signals, tmp_path, capsys):
    """A run directory against a table: what made the table, reversed; two tables; and JSON."""
    save(Imported(signals, {}), {"format": "arrays", "kind": "prob"}, RunStore.at(str(tmp_path / "run")))
    made = Lira(variance="global")(signals)
    (tmp_path / "one.parquet").write_bytes(write_scores(made))
    (tmp_path / "two.parquet").write_bytes(write_scores(replace(made, values=-made.values)))
    run, one, two = (str(tmp_path / name) for name in ("run", "one.parquet", "two.parquet"))
    assert main(["explain-difference", run, two]) == 0
    out = capsys.readouterr().out
    assert "lira online, variance global does on A's signals, reversed: in one of them lower means member" in out
    assert "A's own lira (mode online, variance nig) has AUC 0." in out
    assert main(["explain-difference", one, two]) == 0
    out = capsys.readouterr().out
    assert "rank correlation -1.0000 within a target; one of them is reversed" in out
    assert "0 of 1600 memberships differ" in out
    assert main(["explain-difference", run, run, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert not any(finding["differs"] for finding in content["findings"])
    assert main(["explain-difference", run, one, "--json"]) == 0
    (ranking,) = json.loads(capsys.readouterr().out)["matches"].values()
    assert [list(match) for match in ranking] == [
        ["name", "correlation", "steps", "apart", "equal", "variant", "exact"]
    ] * 3
    assert ranking[0]["name"] == "lira online, variance global"
    assert main(["explain-difference", run, str(tmp_path)]) == 2
    assert "is not a run directory, a report or a table of scores" in capsys.readouterr().err


def test_command_on_reports(signals, tmp_path, capsys):
    """A report that raymeter score wrote has all scores, and is the same as its table."""
    (tmp_path / "one.parquet").write_bytes(write_scores(Rmia()(signals)))
    assert main(["score", str(tmp_path / "one.parquet")]) == 0
    capsys.readouterr()
    assert main(["explain-difference", str(tmp_path / "one-report"), str(tmp_path / "one.parquet")]) == 0
    out = capsys.readouterr().out
    assert "Different" not in out
    assert "the same order, so the same ROC" in out


def test_settings_that_a_report_tells_are_named(signals, tmp_path, capsys):
    """A gamma of 2 stood in the other report, and the answer was that no known attack had made its scores."""
    run = str(tmp_path / "run")
    save(Imported(signals, {}), {"format": "arrays", "kind": "prob"}, RunStore.at(run))
    for gamma in (1, 2):
        attacks = f"[{{name: rmia, form: count, gamma: {gamma}.0}}]"
        assert main(["score", run, "--attacks", attacks, "--out", str(tmp_path / f"gamma{gamma}")]) == 0
    capsys.readouterr()
    assert main(["explain-difference", run, str(tmp_path / "gamma2")]) == 0
    out = capsys.readouterr().out
    assert "rmia.gamma: 1.0 against 2.0" in out
    assert "as rmia offline by its count, offline_a 0.3, gamma 2 does on A's signals" in out
    assert main(["explain-difference", str(tmp_path / "gamma1"), str(tmp_path / "gamma2")]) == 0
    assert "rmia.gamma: 1.0 against 2.0" in capsys.readouterr().out


def test_results_of_other_data_are_not_matched_by_number(signals):
    """Places in two pools that were drawn with other seeds were taken for the same records."""
    facts = {"a": {"data": ("digits", "1f")}, "b": {"data": ("digits", "2e")}}
    found = compared(signals, signals, **facts)
    assert "digits, drawn or read differently; records cannot be matched" in found.findings[0].text
    assert found.walks == {} and found.findings[0].differs
    assert compared(signals, signals, a=facts["a"], b=facts["a"]).walks
