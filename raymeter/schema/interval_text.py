"""How every text writes a figure with its interval."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class HasInterval(Protocol):
    """An estimate with the ends of its interval."""

    @property
    def estimate(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def p_text(p: float) -> str:
    """`= 0.034`; a p-value that is too small for a number is below one, not 0.

    Examples:
        >>> p_text(0.0342), p_text(0.0)
        ('= 0.034', '< 1e-300')
    """
    return f"= {p:.2g}" if p >= 1e-300 else "< 1e-300"


def interval_text(value: HasInterval, digits: int = 3, *, factor: int = 1, signed: bool = False) -> str:
    """`0.620 [0.600, 0.640]`.

    Args:
        value: In its own unit.
        digits: After the point.
        factor: 100 for percentages.
        signed: Write a plus, too, as for differences.

    Examples:
        >>> from raymeter.schema.results import Interval
        >>> interval_text(Interval(0.0125, -0.001, 0.026), 2, factor=100, signed=True)
        '+1.25 [-0.10, +2.60]'
    """
    form = f"{'+' if signed else ''}.{digits}f"
    estimate, low, high = (format(factor * figure, form) for figure in (value.estimate, value.low, value.high))
    return f"{estimate} [{low}, {high}]"
