"""The result in the terminal: a short table and one sentence."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from raymeter.report.verdict import percent
from raymeter.schema.results import AttackResult, AuditResult, MeanInterval

NOT_RESOLVABLE = "not resolvable"


def console_table(result: AuditResult) -> Table:
    """One row per attack: mean over targets ± standard deviation between them, and below it the 95 % interval.

    Columns are the AUC and the TPR as a percentage at each FPR. With usual numbers the table is under 80
    columns wide; where it does not fit, cells run over more lines and nothing is cut off.
    """
    first = result.attacks[0]
    records, targets = len(first.scores.ids), len(first.targets)
    title = f"{_count(records, 'record')}, {_count(targets, 'target model')}"
    title += ": mean ± sd over targets, [95 % interval]" if targets > 1 else ": [95 % interval]"
    table = Table(title=escape(title), title_justify="left", title_style="", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("attack", overflow="fold", min_width=6)
    table.add_column("AUC", justify="right", overflow="fold")
    for fpr in first.tpr_at_fpr:
        table.add_column(f"TPR in % at\n{percent(fpr)} FPR", justify="right", overflow="fold")
    for attack in result.attacks:
        rates = (rate_cell(attack, fpr) for fpr in attack.tpr_at_fpr)
        table.add_row(escape(attack.name), escape(_cell(attack.auc, 1, 3)), *map(escape, rates))
    return table


def rate_cell(attack: AttackResult, fpr: str) -> str:
    """A true-positive rate as a percentage, or the words for one that so few non-members cannot resolve."""
    return _cell(attack.tpr_at_fpr[fpr], 100, 2) if attack.resolvable[fpr] else NOT_RESOLVABLE


def _cell(value: MeanInterval, scale: int, digits: int) -> str:
    sd = f" ± {scale * value.sd:.{digits}f}" if value.targets > 1 else ""
    return f"{scale * value.estimate:.{digits}f}{sd}\n[{scale * value.low:.{digits}f}, {scale * value.high:.{digits}f}]"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
