"""Scores of an attack: higher means member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped


@dataclass(frozen=True)
class Scores:
    """Membership scores of one attack; **higher means member, always**."""

    attack: str
    values: Float[np.ndarray, "examples targets"]
    member: Bool[np.ndarray, "examples targets"]
    ids: Shaped[np.ndarray, " examples"]  # int64, or texts of their user's
    targets: Int64[np.ndarray, " targets"]
    settings: Mapping[str, Any] = field(default_factory=dict)
