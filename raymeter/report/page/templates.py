"""Pages: templates of this package, filled in; whatever a user named is escaped."""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from raymeter.schema.interval_text import p_text


@cache
def _environment() -> jinja2.Environment:
    loader = jinja2.PackageLoader("raymeter.report.page", "html")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["figure"] = figure
    environment.filters["percent"] = lambda value, digits=2: figure(None if value is None else 100 * value, digits)
    environment.filters["moment"] = lambda text: (
        text[:16].replace("T", " ") + (" UTC" if text.endswith("+00:00") else "")
    )
    environment.filters["signed"] = lambda value: "" if value is None else f"{value:+.4f}"
    environment.filters["p"] = lambda value: p_text(value).removeprefix("= ")
    environment.globals["included"] = included
    return environment


def render(template: str, **values: Any) -> str:
    """A page of its own: styles and scripts are inside, nothing is fetched."""
    return _environment().get_template(template).render(**values)


def figure(value: float | None, digits: int = 3) -> str:
    """A number for a table; nothing where it is not defined."""
    return "" if value is None or value != value else f"{value:.{digits}f}"


def included(name: str) -> Markup:
    """A style or script of this package, as it is."""
    loader = _environment().loader
    assert loader is not None
    return Markup(loader.get_source(_environment(), name)[0])  # noqa: S704 - our own file
