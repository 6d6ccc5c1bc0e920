"""Signals of other tools, read and written in the layouts that they document; one file per format, no Ray.

FORMATS maps the names of the command line to a reader and a writer. Readers take a path and what the user adds
(`Extras`); writers take signals and yield files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from raymeter.formats import arrays, leakpro, lira, lira_analysis, privacy_meter, privacyguard
from raymeter.formats.values import Exported, Extras, Imported
from raymeter.schema.signals import Signals

__all__ = ["FORMATS", "Exported", "Extras", "Format", "Imported"]


@dataclass(frozen=True)
class Format:
    """How one layout is read and written."""

    read: Callable[[Path, Extras], Imported]
    write: Callable[[Signals], Exported]


FORMATS: Mapping[str, Format] = {
    "privacy-meter": Format(privacy_meter.read, privacy_meter.write),
    "lira": Format(lira.read, lira.write),
    "lira-analysis": Format(lira_analysis.read, lira_analysis.write),
    "leakpro": Format(leakpro.read, leakpro.write),
    "privacyguard": Format(privacyguard.read, privacyguard.write),
    "arrays": Format(arrays.read, arrays.write),
}
