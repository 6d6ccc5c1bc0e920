"""Whose a run directory is where run.json is lost: its models say which data, recipe and seed they are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raymeter.errors import StoreError
from raymeter.schema.model_record import Origin
from raymeter.storage.code_book import CODE
from raymeter.storage.model_store import ModelStore
from raymeter.storage.run_store import IDENTITY, RunStore
from raymeter.storage.seals import unsealed


def restored_identity(store: RunStore, identity: Mapping[str, Any], origins: Mapping[int, Origin]) -> str:
    """A line that says why run.json is to be written again; empty where it is whole, or the directory is new.

    Args:
        store: The run directory.
        identity: What this audit is of.
        origins: What its models must be made of, by their numbers.

    Raises:
        StoreError: Models in the directory are of other data, recipe or seed, or do not say of which they are.
    """
    state = _state(store)
    if state == "whole":
        return ""
    models = ModelStore(store)
    found = {index: record for index in origins if (record := models.read_marker(index)[0]) is not None}
    for index, record in found.items():
        if not record.data:
            raise StoreError(
                f"{store.name}/{IDENTITY} is {state}, and model {index} is of an earlier version, whose markers do not "
                f"say which data they are of; put {IDENTITY} back from a copy, or choose another run.log_dir"
            )
        origin = origins[index]
        for what, before, now in (
            ("seed", record.seed, origin.seed),
            ("recipe", record.recipe, origin.recipe),
            ("data", record.data, origin.data),
            ("members", record.members, origin.members),
        ):
            if before != now:
                raise StoreError(
                    f"{store.name}/{IDENTITY} is {state}, and model {index} is of a different audit: {what} was "
                    f"{before!s:.16}, now {now!s:.16}. Choose another run.log_dir, or put the old values back."
                )
    if found and _has_own_code(identity) and store.read(CODE) is None:
        raise StoreError(
            f"{store.name}/{IDENTITY} is {state} and {CODE} is missing, so it is not known which code made its models; "
            "put one of them back from a copy, or choose another run.log_dir"
        )
    if found:
        return f"{IDENTITY} was {state} and is written again: {len(found)} models say that they are of these data"
    return f"{IDENTITY} was damaged and is written anew: there is no model here" if state == "damaged" else ""


def _state(store: RunStore) -> str:
    data = store.read(IDENTITY)
    if data is None:
        return "missing"
    try:
        unsealed(IDENTITY, data)
    except (ValueError, RecursionError):
        return "damaged"
    return "whole"


def _has_own_code(identity: Mapping[str, Any]) -> bool:
    train = identity["train"]
    return any(":" in (train.get(part) or "") for part in ("model", "fit"))
