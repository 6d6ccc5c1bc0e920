"""How results show themselves: a table, as text and in a notebook, in the words of the terminal."""

from __future__ import annotations

from html import escape
from typing import Any

from raymeter.schema.interval_text import interval_text

CELL = 'style="text-align: left"'


class ShownAsTable:
    """Gives a result with `attacks` a table of them; notebooks look for one in HTML."""

    attacks: Any

    def __repr__(self) -> str:
        rows = _rows(self.attacks)
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
        return "\n".join([_caption(self.attacks), *(line.rstrip() for line in lines)])

    def _repr_html_(self) -> str:
        heads, *rows = _rows(self.attacks)
        head = "".join(f"<th {CELL}>{escape(text)}</th>" for text in heads)
        body = "".join("<tr>" + "".join(f"<td {CELL}>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        caption = _caption(self.attacks)
        return f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _caption(attacks: Any) -> str:
    targets = len(attacks[0].targets)
    return f"Mean over {targets} target model{'s' if targets != 1 else ''} [95 % interval]"


def _rows(attacks: Any) -> list[list[str]]:
    """Heads, and a row per attack."""
    rates = list(attacks[0].tpr_at_fpr)
    rows = [["attack", "AUC", *(f"TPR in % at {100 * float(rate):.4g} % FPR" for rate in rates)]]
    for attack in attacks:
        cells = (
            interval_text(attack.tpr_at_fpr[rate], 2, factor=100) if attack.resolvable[rate] else "not resolvable"
            for rate in rates
        )
        rows.append([attack.name, interval_text(attack.auc), *cells])
    return rows
