"""raymeter: how much does a trained model leak about the records it was trained on?

`raymeter.audit(config)` and `python -m raymeter.audit CONFIG.yaml` run a whole audit;
`raymeter.attacks` and `raymeter.stats` work on NumPy arrays alone.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["AuditResult", "Scores", "SignalMatrix", "__version__", "audit", "load_config"]

_HOME = {"load_config": "config", "AuditResult": "results", "Scores": "schema", "SignalMatrix": "schema"}


def __getattr__(name: str) -> Any:
    """Import on first use, so that the NumPy parts load neither torch nor Ray."""
    if name == "audit":  # a module that can be called: raymeter.audit(config)
        return importlib.import_module("raymeter.audit")
    if name in _HOME:
        return getattr(importlib.import_module(f"raymeter.{_HOME[name]}"), name)
    raise AttributeError(f"module 'raymeter' has no attribute {name!r}")
