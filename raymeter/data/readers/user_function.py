"""The user's own loader: `module:function`, called with the DataSpec."""

from __future__ import annotations

import importlib

from raymeter.data.loaded_records import Records
from raymeter.data.readers.arrays import as_records
from raymeter.errors import DataError, exit_refused, first_line, not_uploaded
from raymeter.schema.dataset import DataSpec


def load_custom(spec: DataSpec) -> Records:
    """Import and call `module:function`; what it returns goes through the same checks as `arrays`.

    The function gets the DataSpec and returns `(x, y)` or Records. Records may name more classes than
    occur. The module must be importable where `python -m raymeter.audit` runs, such as a file in the
    working directory.

    Raises:
        DataError: It cannot be imported or called, raises, or returns something else.
    """
    name = spec.dataset
    module, _, function = name.partition(":")
    try:
        with exit_refused(DataError, f"data.dataset: the module of {name}"):
            loader = getattr(importlib.import_module(module), function)
    except DataError:
        raise
    except Exception as error:  # a user's module can fail in any way
        raise DataError(
            f"data.dataset: cannot load {name!r} ({type(error).__name__}: {first_line(error)}); "
            f"write module:function, with the module importable from here{not_uploaded()}"
        ) from error
    if not callable(loader):
        raise DataError(f"data.dataset: {name} is {type(loader).__name__}, not a function; give one that loads records")
    try:
        with exit_refused(DataError, f"data.dataset: {name}"):
            loaded = loader(spec)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"data.dataset: {name} raised {type(error).__name__}: {first_line(error)}") from error
    if isinstance(loaded, Records):
        return as_records(loaded.x, loaded.y, name, classes=loaded.num_classes, limit=spec.in_memory_limit)
    if not isinstance(loaded, tuple) or len(loaded) != 2:
        raise DataError(f"data.dataset: {name} returned {type(loaded).__name__}; return (x, y)")
    return as_records(loaded[0], loaded[1], name, limit=spec.in_memory_limit)
