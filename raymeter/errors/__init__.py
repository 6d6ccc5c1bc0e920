"""Every error that raymeter raises on purpose, and text that people are shown."""

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
    "MissingReferences",
    "RaymeterError",
    "RunError",
    "SignalError",
    "SplitError",
    "StoreError",
    "first_line",
    "is_submitted",
    "not_uploaded",
    "type_and_line",
]
