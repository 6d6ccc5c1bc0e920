"""What the terminal says: numbers that fit, words where there is no number, and a sentence that claims no more."""

from __future__ import annotations

import io
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from rich.console import Console

from raymeter.report.terminal import console_table
from raymeter.report.verdict import finding, in_people, remarks, verdict
from raymeter.schema import Scores
from raymeter.schema.results import (
    AttackResult,
    AuditResult,
    BlindAnswer,
    BlindResult,
    Interval,
    MeanInterval,
    PowerPoint,
    TargetMetrics,
)

BLIND = MappingProxyType({"0.01": False, "0.001": False, "0": True})
SHARP = MappingProxyType({"0.01": True, "0.001": True, "0": True})


def attack(
    name: str,
    auc: tuple[float, float, float],
    rates: tuple[tuple[float, float, float], ...] = ((0.115, 0.1046, 0.1254), (0.021, 0.015, 0.028), (0.0, 0.0, 0.01)),
    resolvable: MappingProxyType = SHARP,
    targets: int = 16,
) -> AttackResult:
    """An attack with these means and intervals; only what the terminal shows is filled in."""
    member = np.zeros((1200, targets), dtype=bool)
    values = np.repeat(np.arange(1200.0)[:, None], targets, axis=1)
    scores = Scores(name, values, member, np.arange(1200), np.arange(targets))
    each = TargetMetrics(0, 99_999, 99_999, Interval(*auc), {})  # chance at the threshold is the rate itself
    return AttackResult(
        name=name,
        scores=scores,
        targets=(each,) * targets,
        auc=MeanInterval(*auc, sd=0.012, targets=targets),
        tpr_at_fpr={
            fpr: MeanInterval(*rate, sd=0.0123, targets=targets) for fpr, rate in zip(resolvable, rates, strict=True)
        },
        resolvable=resolvable,
    )


def audit(*attacks: AttackResult) -> AuditResult:
    return AuditResult(attacks, {}, {}, {})


def rendered(result: AuditResult, width: int) -> str:
    """The table as text on a terminal of this width."""
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    console.print(console_table(result))
    return console.export_text()


STRONG = attack("rmia", (0.62, 0.6, 0.64))
WEAK = attack("calibrated", (0.505, 0.495, 0.515), ((0.01, 0.0, 0.02), (0.001, 0.0, 0.01), (0.0, 0.0, 0.01)))
FAR = ((0.05, 0.02, 0.08), (0.02, 0.01, 0.03), (0.0, 0.0, 0.01))


@pytest.mark.parametrize("width", [100, 80])
def test_table_shows_every_number_on_two_lines(width):
    """Means with standard deviation and the intervals below them are whole at both usual widths."""
    text = rendered(audit(STRONG, WEAK), width)
    assert "1200 records, 16 target models" in text
    for part in ("rmia", "0.620 ± 0.012", "[0.600, 0.640]", "11.50 ± 1.23", "[10.46, 12.54]", "1 % FPR", "0.1 % FPR"):
        assert part in text
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_narrow_table_cuts_nothing_off():
    """At half the width numbers run over more lines, but no ellipsis hides a digit."""
    text = rendered(audit(STRONG, attack("a-rather-long-label-of-a-user", (0.62, 0.6, 0.64))), 50)
    assert "…" not in text
    assert "10.46" in text


def test_table_says_not_resolvable_in_place_of_a_number():
    """With too few non-members neither the rate nor its interval is shown; TPR at 0 % FPR always is."""
    text = rendered(audit(attack("rmia", (0.62, 0.6, 0.64), resolvable=BLIND)), 100)
    assert text.count("not resolvable") == 2
    assert "11.50" not in text
    assert "0.00 ± 1.23" in text


def test_table_of_one_target_has_no_standard_deviation():
    """One target has no spread between targets, and is not called targets."""
    text = rendered(audit(attack("rmia", (0.62, 0.6, 0.64), targets=1)), 100)
    assert "1200 records, 1 target model: [95 % interval]" in text
    assert "±" not in text


def test_attack_names_are_not_markup():
    """A name in brackets is printed, not taken for a colour."""
    assert "[red]x" in rendered(audit(attack("[red]x", (0.62, 0.6, 0.64))), 100)


def test_verdict_names_the_strongest_attack():
    """AUC, the smallest false-positive rate that can be resolved, and what chance would give."""
    assert verdict(audit(WEAK, STRONG)) == (
        "rmia distinguishes members from non-members with AUC 0.620 [0.600, 0.640] (chance: 0.5), the strongest of 2 attacks; "
        "at 1 false alarm in 1000 non-members it finds 2.10 [1.50, 2.80] % of the members (chance: 0.1 %)."
    )


def test_verdict_in_numbers_of_people():
    """Of the attack and the rate that the verdict speaks of; nothing where chance is not ruled out or nothing is found."""
    assert in_people(audit(WEAK, STRONG)) == (
        "In numbers of people: of 1000 whose records trained the model, an attacker identifies 21 (15 to 28), and with them 1 "
        "of every 1000 whose records did not."
    )
    wide = attack("rmia", (0.62, 0.6, 0.64), ((0.1, 0.05, 0.2), (0.02, 0.0, 0.08), (0.0, 0.0, 0.01)))
    assert in_people(audit(wide)) == in_people(audit(WEAK)) == ""


def test_verdict_on_few_non_members_claims_no_rate():
    """Nothing is said about rates that the sample cannot resolve, except that it cannot."""
    assert verdict(audit(attack("rmia", (0.62, 0.6, 0.64), resolvable=BLIND))) == (
        "rmia distinguishes members from non-members with AUC 0.620 [0.600, 0.640] (chance: 0.5); there are too few "
        "non-members to measure how it does at low false-positive rates."
    )


def test_verdict_says_when_chance_would_do():
    """A rate whose interval reaches down to chance is not sold as a finding."""
    wide = attack("rmia", (0.62, 0.6, 0.64), ((0.1, 0.05, 0.2), (0.02, 0.0, 0.08), (0.0, 0.0, 0.01)))
    assert verdict(audit(wide)).endswith("2.00 [0.00, 8.00] % of the members (chance: 0.1 %, which is not ruled out).")


def test_verdict_on_a_clean_model():
    """An interval that includes 0.5 is no finding."""
    assert verdict(audit(WEAK)) == (
        "No attack did measurably better than chance (calibrated with AUC 0.505 [0.495, 0.515])."
    )


def test_verdict_sees_a_few_certain_members_behind_a_blind_auc():
    """LiRA's typical curve: AUC near 0.5, yet twenty times chance at 0.1 % FPR; such a model is not clean."""
    assert verdict(audit(WEAK, attack("lira", (0.503, 0.49, 0.51), FAR))) == (
        "Over all records no attack did measurably better than chance (calibrated with AUC 0.505 [0.495, 0.515], the strongest "
        "of 2 attacks), but at 1 false alarm in 1000 non-members lira finds 2.00 [1.00, 3.00] % of the members "
        "(chance: 0.1 %)."
    )


def test_verdict_ignores_low_rates_that_cannot_be_resolved():
    """The same curve with too few non-members is no evidence."""
    assert verdict(audit(attack("lira", (0.503, 0.49, 0.51), FAR, BLIND))).startswith("No attack did measurably better")


def test_verdict_suspects_the_sign_when_all_do_worse_than_chance():
    """An AUC below 0.5 with certainty means scores that point the other way."""
    low = ((0.0, 0.0, 0.01),) * 3
    assert "direction of the scores" in verdict(audit(attack("mine", (0.4, 0.35, 0.45), low)))


@pytest.mark.parametrize(("named", "verb"), [(1, "is"), (3, "are")])
def test_verdict_sees_named_records_behind_rates_at_chance(named, verb):
    """Regression: "No leak was measured" in green, and below it that records are named at risk."""
    at_risk = np.arange(9000) < named
    records = {"id": np.arange(9000), "at_risk": at_risk, "p_value": np.where(at_risk, 1e-9, 0.5)}
    result = replace(audit(WEAK), records=records)
    assert verdict(result) == (
        "Over all records no attack did measurably better than chance (calibrated with AUC 0.505 [0.495, 0.515]), but "
        f"{named} of 9000 records {verb} named at risk, at a false discovery rate of 5 %."
    )
    assert finding(result) == "leaks" and in_people(result) == ""
    nobody = {**records, "at_risk": np.zeros(9000, dtype=bool), "p_value": np.full(9000, 0.5)}
    assert finding(replace(result, records=nobody)) == "quiet"


def test_verdict_names_rates_that_are_not_one_in_a_whole_number():
    """An FPR of 3 % is said in per cent."""
    odd = attack("rmia", (0.62, 0.6, 0.64), ((0.2, 0.1, 0.3),), MappingProxyType({"0.03": True}))
    assert "at a false-positive rate of 3 % it finds 20.00" in verdict(audit(odd))


def point(references: int, estimate: float) -> PowerPoint:
    mean = MeanInterval(estimate, estimate - 0.01, estimate + 0.01, 0.01, 16)
    return PowerPoint(references, mean, mean, 0.001, True)


def test_remarks_name_records_references_and_a_baseline_that_sees():
    """One line each; an attack that gained nothing from its last references is not named."""
    result = audit(WEAK, STRONG)
    records = {"id": np.arange(5), "at_risk": np.array([True, False, True, False, False])}
    blind = BlindResult(
        (
            BlindAnswer("pool from population", "linear classifier", Interval(0.5, 0.4, 0.6), 100),
            BlindAnswer("pool from population", "random forest", Interval(0.7, 0.6, 0.8), 100),
        ),
        True,
    )
    power = {"lira": (point(4, 0.6), point(8, 0.7)), "rmia": (point(4, 0.65), point(8, 0.655)), "loss": ()}
    lines = remarks(replace(result, records=records, power=power, blind=blind))
    assert lines[0].startswith("Records at risk: 2 of 5 are named at a false discovery rate of 5 %")
    assert lines[1] == "More reference models would find more: lira still rose when the last ones were added."
    assert lines[2].startswith(
        "Warning: a random forest that sees no model distinguishes pool from population with AUC 0.700 [0.600, 0.800]"
    )


def test_remarks_are_silent_where_there_is_nothing_to_say():
    """No table of records, no curve, a blind baseline."""
    blind = BlindResult((BlindAnswer("q", "c", Interval(0.5, 0.4, 0.6), 9),), False)
    assert remarks(replace(audit(WEAK), blind=blind, power={"lira": (point(1, 0.6),)})) == []
