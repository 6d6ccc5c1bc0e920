"""JSON records with a hash of themselves and of their place: whatever bit of one is altered, it shows.

A sealed record is the JSON object with one more key, `seal`: the sha256 of its path in the run directory and of its
text without the seal. It says that a record is whole and lies where it was put. It is no signature: who can write the
directory can write another record with its seal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from raymeter.storage.local_files import sha256

SEAL = "seal"
MARK = "raymeter-1-"  # how a seal begins: damage to one place leaves this, or the key, to know a sealed record by


def sealed(path: str, value: Mapping[str, Any]) -> bytes:
    """A record as it is stored.

    Args:
        path: Where in the run directory it will be.
        value: A JSON object without the key `seal`.
    """
    return _text({**value, SEAL: _seal_of(path, value)})


def unsealed(path: str, data: bytes) -> tuple[dict[str, Any], bool]:
    """A stored record without its seal, and whether it had one; those of earlier versions have none.

    Raises:
        ValueError: It is no JSON object, or not what was written there; the text says which.
    """
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if f'"{SEAL}"'.encode() not in data and MARK.encode() not in data:
        return value, False
    plain = {name: item for name, item in value.items() if name != SEAL}
    if data != sealed(path, plain):
        raise ValueError("its hash is wrong")
    return plain, True


def digest_of_record(value: Mapping[str, Any]) -> str:
    """The sha256 of a record's content, wherever it is stored and whether it is sealed or not."""
    return sha256(_text(value))


def _seal_of(path: str, value: Mapping[str, Any]) -> str:
    return MARK + sha256(path.encode() + b"\n" + _text(value))


def _text(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
