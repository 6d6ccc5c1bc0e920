"""raymeter: how much does a trained model leak about the records it was trained on?

`raymeter.audit(config)` and `python -m raymeter.audit CONFIG.yaml` run a whole audit;
`raymeter.attacks` and `raymeter.stats` work on NumPy arrays alone.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
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


def audit(
    config: Config | None = None,
    *,
    data: Any = None,
    label: str | None = None,
    model: str | None = None,
    run: str | None = None,
    verbose: bool = False,
) -> AuditResult:
    """Run one audit, given its configuration, its sections as plain values, or the path of a YAML file.

    A running Ray is used; else one is started, and stopped at the end.

    Args:
        config: What to run; with `data` its sections as plain values, or nothing.
        data: A data frame with a column of classes, or (x, y), in place of the configuration's data. They are kept in
            the run directory.
        label: With `data`: the column of classes; by default y or label.
        model: With `data`: a name from the models table, or `module:function`; by default `tabular` for a data frame.
        run: With `data`: the run directory.
        verbose: Show the messages of Ray too.

    Raises:
        RaymeterError: One line that says what is wrong and what to do; nothing is left behind but finished models.
    """
    from raymeter.errors import ConfigError
    from raymeter.pipeline.audit import audit as run_audit  # loads torch and Ray: only when there is work

    if data is not None:
        from raymeter.pipeline.own_frames import with_data

        if config is not None and not isinstance(config, Mapping):
            raise ConfigError("config: with data it must be sections as a dict, or left out")
        config = with_data(config or {}, data, label, run, model)
    elif config is None or label or model or run:
        raise ConfigError("audit: give a configuration, or data with label, model and run")
    return run_audit(config, verbose=verbose)


def __getattr__(name: str) -> Any:
    """Import on first use, so that the NumPy parts load neither torch nor Ray."""
    if name in _HOME:
        return getattr(importlib.import_module(f"raymeter.{_HOME[name]}"), name)
    raise AttributeError(f"module 'raymeter' has no attribute {name!r}")
