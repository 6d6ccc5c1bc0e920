"""Functions of the user by name: `module:function`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from raymeter.errors import ConfigError, exit_refused, not_uploaded, type_and_line


def load_function(key: str, name: str, gives: str) -> Callable[..., Any]:
    """The user's function that a key names as module:function.

    Args:
        gives: What kind of function it is to be, for the message.

    Raises:
        ConfigError: It cannot be loaded, or is no function.
    """
    module, _, function = name.partition(":")
    if module == "__main__" and key.startswith("train."):
        raise ConfigError(f"{key}: {name} is of this session, and workers do not have it; write it to a file")
    value: Any
    try:
        with exit_refused(ConfigError, f"{key}: the module of {name}"):
            value = getattr(importlib.import_module(module), function)
    except ConfigError:
        raise
    except Exception as error:  # a user's module can fail in any way
        raise ConfigError(
            f"{key}: cannot load {name!r} ({type_and_line(error)}); write module:function, with the module importable "
            f"from here{not_uploaded()}"
        ) from error
    if not callable(value):
        raise ConfigError(f"{key}: {name} is {type(value).__name__}; give a function {gives}")
    user_function: Callable[..., Any] = value
    return user_function
