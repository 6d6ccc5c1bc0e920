"""Every error that raymeter raises on purpose, and text that people are shown."""

from raymeter.errors.endings import Ended, exit_refused
from raymeter.errors.exceptions import (
    ConfigError,
    DataError,
    MissingReferences,
    RaymeterError,
    RunError,
    SignalError,
    SplitError,
    StoreError,
    first_line,
    is_submitted,
    not_uploaded,
    type_and_line,
)

__all__ = [
    "ConfigError",
    "DataError",
    "Ended",
    "MissingReferences",
    "RaymeterError",
    "RunError",
    "SignalError",
    "SplitError",
    "StoreError",
    "exit_refused",
    "first_line",
    "is_submitted",
    "not_uploaded",
    "type_and_line",
]
