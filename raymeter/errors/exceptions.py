"""Every error that raymeter raises on purpose; each message is one line: what, the value, the remedy.

RaymeterError
├── ConfigError   the YAML file or an override: a key, a type, an impossible value
├── DataError     a dataset that is missing, corrupt or of the wrong shape
├── SplitError    a membership design that cannot be made
├── SignalError   signals from which the asked-for number cannot be computed
│   └── MissingReferences   a record without the reference models that an attack needs
├── StoreError    a run directory that is damaged or belongs to another audit
└── RunError      work on the cluster that failed for good
"""

from __future__ import annotations

import os

from raymeter.errors.text import one_line


class RaymeterError(Exception):
    """Base of all deliberate errors; its text is meant for the user as it is: one line without keys (see text.py)."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(one_line(arg) if isinstance(arg, str) else arg for arg in args))


class ConfigError(RaymeterError):
    """The configuration is wrong; the message starts with the key path."""


class DataError(RaymeterError):
    """A dataset is missing, corrupt or does not have the expected shape."""


class SplitError(RaymeterError):
    """The requested membership design does not exist."""


class SignalError(RaymeterError):
    """A score cannot be computed from these signals; the first offending record is named."""


class MissingReferences(SignalError):
    """A record has too few references on a side; the first one is named."""


class StoreError(RaymeterError):
    """The run directory is damaged, or holds results of a different audit."""


class RunError(RaymeterError):
    """Work on the cluster failed for good, after its retries."""


def first_line(error: BaseException, otherwise: str | None = None) -> str:
    """The first line of an exception's text; where it has none its type, or `otherwise`."""
    return (str(error).splitlines() or [type(error).__name__ if otherwise is None else otherwise])[0]


def type_and_line(error: BaseException) -> str:
    """The type of an exception, and the first line of its text where it has any."""
    return ": ".join([type(error).__name__, *str(error).splitlines()[:1]])


def is_submitted() -> bool:
    """Whether this is the driver of a job that was submitted to a cluster."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ  # which Ray sets


def not_uploaded() -> str:
    """The end of a message about a file that is not there: why that may be so in a submitted job, else nothing."""
    if not is_submitted():
        return ""
    return (
        " (this is a submitted job: files that .gitignore or .rayignore name are not uploaded, and nothing outside of "
        "--working-dir is; --dry-run says which, where you submit)"
    )
