"""raymeter: how much does a trained model leak about the records it was trained on?

`raymeter.audit(config)` and `python -m raymeter.audit CONFIG.yaml` run a whole audit;
`raymeter.attacks` and `raymeter.stats` work on NumPy arrays alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raymeter.pipeline.audit import Config
    from raymeter.schema.results import AuditResult

__version__ = "0.1.0"
__all__ = ["AuditResult", "Scores", "SignalMatrix", "__version__", "audit", "load_config"]

_HOME = {
    "load_config": "config.load",
    "AuditResult": "schema.results",
    "Scores": "schema.scores",
    "SignalMatrix": "schema.signals",
}


def audit(config: Config, *, verbose: bool = False) -> AuditResult:
    """Run one audit, given its configuration, its sections as plain values, or the path of a YAML file.

    A running Ray is used; else one is started, and stopped at the end.

    Raises:
        RaymeterError: One line that says what is wrong and what to do; nothing is left behind but finished models.
    """
    from raymeter.pipeline.audit import audit as run_audit  # loads torch and Ray: only when there is work

    return run_audit(config, verbose=verbose)


def __getattr__(name: str) -> Any:
    """Import on first use, so that the NumPy parts load neither torch nor Ray."""
    if name in _HOME:
        return getattr(importlib.import_module(f"raymeter.{_HOME[name]}"), name)
    raise AttributeError(f"module 'raymeter' has no attribute {name!r}")
