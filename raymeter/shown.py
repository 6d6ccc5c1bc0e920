"""How results show themselves in a notebook: a table, in the words of the terminal's."""

from __future__ import annotations

from html import escape
from typing import Any

CELL = 'style="text-align: left"'


class ShownAsTable:
    """Gives a result with `attacks` a table of them, which notebooks look for under this name."""

    attacks: Any

    def _repr_html_(self) -> str:
        first = self.attacks[0]
        rates = list(first.tpr_at_fpr)
        heads = ["attack", "AUC", *(f"TPR at {100 * float(rate):.4g} % FPR" for rate in rates)]
        rows = []
        for attack in self.attacks:
            cells = [escape(attack.name), _interval(attack.auc, 3)]
            for rate in rates:
                cells.append(_interval(attack.tpr_at_fpr[rate], 4) if attack.resolvable[rate] else "not resolvable")
            rows.append(cells)
        head = "".join(f"<th {CELL}>{escape(text)}</th>" for text in heads)
        body = "".join("<tr>" + "".join(f"<td {CELL}>{cell}</td>" for cell in row) + "</tr>" for row in rows)
        targets = len(first.targets)
        caption = f"Mean over {targets} target model{'s' if targets != 1 else ''} [95 % interval]"
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _interval(mean: Any, digits: int) -> str:
    return f"{mean.estimate:.{digits}f} [{mean.low:.{digits}f}, {mean.high:.{digits}f}]"
