"""The result in the terminal: a short table and one sentence."""

from __future__ import annotations

from rich.table import Table

from raymeter.schema import AttackResult, AuditResult, MeanInterval


def console_table(result: AuditResult) -> Table:
    """One row per attack: mean AUC over targets, and TPR at each FPR, each with its 95 % interval."""
    first = result.attacks[0]
    records = len(first.scores.ids)
    title = f"{records} records, {len(first.targets)} target models, means with 95 % intervals"
    table = Table(title=title, title_justify="left")
    table.add_column("attack", no_wrap=True)
    table.add_column("AUC", justify="right")
    for fpr in first.tpr_at_fpr:
        table.add_column(f"TPR @ {float(fpr):.4g} FPR" if float(fpr) else "TPR @ 0 FPR", justify="right")
    for attack in result.attacks:
        rates = [rate_text(attack, fpr) for fpr in attack.tpr_at_fpr]
        table.add_row(attack.name, _text(attack.auc, ".3f"), *rates)
    return table


def rate_text(attack: AttackResult, fpr: str) -> str:
    """A true-positive rate in per cent, or the words that say that so few non-members cannot tell."""
    if not attack.resolvable[fpr]:
        return "not resolvable"
    rate = attack.tpr_at_fpr[fpr]
    return f"{100 * rate.estimate:.2f} % [{100 * rate.low:.2f}, {100 * rate.high:.2f}]"


def verdict(result: AuditResult) -> str:
    """What the audit found, in plain words, with its uncertainty."""
    best = max(result.attacks, key=lambda attack: attack.auc.low)
    if best.auc.low <= 0.5:
        return (
            f"No attack told members from non-members better than chance: the best, {best.name}, has AUC "
            f"{_text(best.auc, '.3f')}."
        )
    text = f"{best.name} tells members from non-members with AUC {_text(best.auc, '.3f')} (0.5 is chance)"
    resolvable = [fpr for fpr in best.tpr_at_fpr if best.resolvable[fpr] and float(fpr)]
    if not resolvable:
        return f"{text}."
    fpr = min(resolvable, key=float)
    return (
        f"{text}; at {1 / float(fpr):.0f} non-members per false alarm it finds {rate_text(best, fpr)} of the members."
    )


def _text(value: MeanInterval, form: str) -> str:
    return f"{value.estimate:{form}} [{value.low:{form}}, {value.high:{form}}]"
