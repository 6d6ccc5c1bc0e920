"""A result in words: the verdict, what it means in numbers of people, and what else must be known."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from raymeter.analysis.doubts import doubts
from raymeter.analysis.evidence import (
    better_attacks,
    better_rates,
    chance_at,
    resolvable_rates,
    sure_records,
    untestable,
)
from raymeter.schema.interval_text import interval_text
from raymeter.schema.results import AttackResult, AuditResult, BlindResult, PowerPoint

DRIFT = 1.5  # a realised false-positive rate further from the asked one is told


def verdict(result: AuditResult) -> str:
    """What the audit found, in one plain sentence with its uncertainty.

    An attack counts as better than chance where the whole interval of its mean AUC lies above 0.5, allowing for how
    many were looked at (see `better_attacks`); of those the one with the largest AUC speaks for the audit. An attack
    that finds a few members with certainty and is blind to the rest has an AUC near 0.5, so without such an attack the
    rates at low FPR are looked at too before the audit is called clean, and so are the records that are named at risk.
    """
    attacks, (attack, fpr) = result.attacks, _spokesman(result)
    of_all = f", the strongest of {len(attacks)} attacks" if len(attacks) > 1 else ""
    if better_attacks(result):
        auc = interval_text(attack.auc)
        text = f"{attack.name} distinguishes members from non-members with AUC {auc} (chance: 0.5){of_all}"
        if fpr is None:
            return f"{text}; there are too few non-members to measure how it does at low false-positive rates."
        return f"{text}; {_at_rate(fpr)} it finds {_found(attack, fpr)}."
    best = max(attacks, key=lambda attack: attack.auc.estimate)
    overall = f"{best.name} with AUC {interval_text(best.auc)}{of_all}"
    nothing_overall = f"Over all records no attack did measurably better than chance ({overall})"
    if fpr is not None:
        return f"{nothing_overall}, but {_at_rate(fpr)} {attack.name} finds {_found(attack, fpr)}."
    if named := _named(result):
        return f"{nothing_overall}, but {named}."
    if finding(result) == "reversed":
        return f"Every attack did worse than chance ({overall}): look at the direction of the scores."
    said = f"No attack did measurably better than chance ({overall})"
    if reasons := doubts(result):
        return f"{said}, but this is inconclusive: {'; '.join(reasons)}."
    return f"{said}."


def finding(result: AuditResult) -> str:
    """The verdict as one word.

    `leaks` where an attack is better than chance, at least at a low rate, or records are named at risk; `reversed`
    where all attacks are worse than chance, which an attacker would only have to reverse; `inconclusive` where none is
    better and there are `doubts` that the audit could have seen it; else `quiet`.
    """
    if better_attacks(result) or better_rates(result) or _named(result):
        return "leaks"
    if max(result.attacks, key=lambda attack: attack.auc.estimate).auc.high < 0.5:
        return "reversed"
    return "inconclusive" if doubts(result) else "quiet"


def inconclusive(result: AuditResult) -> tuple[str, ...]:
    """Why a finding is no evidence of safety, although it is no leak: `doubts`, or scores that point the wrong way."""
    match finding(result):
        case "reversed":
            return ("every attack did worse than chance: look at the direction of the scores",)
        case "inconclusive":
            return doubts(result)
        case _:
            return ()


def _named(result: AuditResult) -> str:
    """How many records are surely at risk; empty where none are."""
    named = sure_records(result)
    verb = "is" if named == 1 else "are"
    of_all = f"{named} of {len(result.records['id'])} records" if named else ""
    return f"{of_all} {verb} named at risk, at a false discovery rate of 5 %" if named else ""


def in_people(result: AuditResult) -> str:
    """The verdict's rate in numbers of people; empty where it has none that is above chance."""
    attack, fpr = _spokesman(result)
    if fpr is None or attack.tpr_at_fpr[fpr].low <= chance_at(attack, fpr):
        return ""
    many = max(1000, round(1 / float(fpr)))
    rate = attack.tpr_at_fpr[fpr]
    identified, fewest, most = (round(many * share) for share in (rate.estimate, rate.low, rate.high))
    false = round(many * chance_at(attack, fpr))
    return (
        f"In numbers of people: of {many} whose records trained the model, an attacker identifies {identified} "
        f"({fewest} to {most}), and with them {false} of every {many} whose records did not."
    )


def _spokesman(result: AuditResult) -> tuple[AttackResult, str | None]:
    """The attack that the verdict speaks of, and at which false-positive rate, if at any."""
    if better := better_attacks(result):
        best = max(better, key=lambda attack: attack.auc.estimate)
        return best, min(resolvable_rates(best), key=float, default=None)
    if sure := better_rates(result):
        return max(sure, key=lambda pair: pair[0].tpr_at_fpr[pair[1]].low / float(pair[1]))
    return result.attacks[0], None


def remarks(result: AuditResult) -> list[str]:
    """What else a reader of the figures must know, one line each: named records, references, a baseline that sees."""
    warnings = [note for note in result.provenance.get("notes", []) if note.startswith("warning: ")]
    lines = [note[0].upper() + note[1:] for note in warnings]
    if target := result.provenance.get("target"):
        lines.append(
            f"Target: {target.get('weights') or target['query']}, trained elsewhere; {target['members']} of "
            f"{target['members'] + target['others']} audited records are its members. The more the references' "
            "training is like its own, the stronger the attacks."
        )
    if missing := result.provenance.get("missing_models"):
        which = ", ".join(map(str, missing))
        lines.append(f"Without model {which}, which could not be trained (models/model_{missing[0]}.error.txt).")
    if untestable(result):
        lines.append("Records at risk cannot be named: that needs two pairs of models whose signals differ.")
    elif "at_risk" in result.records:
        named, all_records = int(np.sum(result.records["at_risk"])), len(result.records["id"])
        lines.append(
            f"Records at risk: {named} of {all_records} are named at a false discovery rate of 5 % "
            "(at_risk in records.parquet)."
        )
    rising = [name for name, points in result.power.items() if _still_rising(points)]
    if rising:
        lines.append(
            f"More reference models would find more: {', '.join(rising)} still rose when the last ones were added."
        )
    lines += [line for attack in result.attacks if attack.name == result.main for line in _drifts(attack)]
    if result.blind is not None and result.blind.twins:
        lines.append(result.blind.twins[0].upper() + result.blind.twins[1:])
    if result.blind is not None and result.blind.warns:
        lines.append(f"Warning: {blind_warning(result.blind)}.")
    return lines


def _still_rising(points: tuple[PowerPoint, ...]) -> bool:
    """Whether the last doubling of references added more than a tenth of what is above chance, beyond the interval."""
    if len(points) < 2:
        return False
    before, last = points[-2].auc, points[-1].auc
    gain = last.estimate - before.estimate
    return gain > 0.1 * (last.estimate - 0.5) and before.high < last.estimate


def _drifts(attack: AttackResult) -> Iterator[str]:
    """Thresholds carried over from other models that let through clearly more, or fewer, non-members than asked for."""
    for fpr, compared in attack.thresholds.items():
        if compared.transferred is None or not attack.resolvable[fpr]:
            continue
        realised, asked = compared.transferred.fpr, float(fpr)
        highest = DRIFT * chance_at(attack, fpr)  # a threshold of few non-members lets through more by itself
        if (realised.low > asked or realised.high < asked) and not asked / DRIFT <= realised.estimate <= highest:
            yield (
                f"Thresholds that {attack.name} takes over from other models for a false-positive rate of "
                f"{percent(fpr)} let through {interval_text(realised, 2, factor=100)} % of the non-members: other "
                "models are no exact stand-ins."
            )


def blind_warning(result: BlindResult) -> str:
    """What the best answer of the blind baseline was, and what that means."""
    worst = max((answer for answer in result.answers if answer.auc.low > 0.5), key=lambda answer: answer.auc.estimate)
    return (
        f"a {worst.classifier} that sees no model distinguishes {worst.question} with AUC {interval_text(worst.auc)}; "
        "the records themselves differ, and part of what the "
        "attacks find may be that difference"
    )


def _at_rate(fpr: str) -> str:
    one_in = 1 / float(fpr)
    if abs(one_in - round(one_in)) < 1e-6:
        return f"at 1 false alarm in {round(one_in)} non-members"
    return f"at a false-positive rate of {percent(fpr)}"


def _found(attack: AttackResult, fpr: str) -> str:
    rate = attack.tpr_at_fpr[fpr]
    chance = chance_at(attack, fpr)
    doubt = ", which is not ruled out" if rate.low <= chance else ""
    return f"{interval_text(rate, 2, factor=100)} % of the members (chance: {100 * chance:.3g} %{doubt})"


def percent(fpr: str) -> str:
    return f"{100 * float(fpr):.4g} %"
