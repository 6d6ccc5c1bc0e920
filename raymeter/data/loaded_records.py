"""What a dataset loader gets and gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

SHOWN = 8  # names of features in a line


@dataclass(frozen=True)
class Records:
    """All records of a dataset, before anything is divided.

    Images are uint8 `[records, channels, height, width]`, everything else float32 `[records, features]`.
    `source` says in words where they came from. `features` and `left_out` are the names of columns that are features,
    in order, and of those that are none, where there are names.
    """

    x: np.ndarray
    y: Int64[np.ndarray, " records"]
    num_classes: int
    source: str = ""
    features: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def contents(shape: tuple[int, ...], is_image: bool, features: tuple[str, ...], left_out: tuple[str, ...]) -> str:
    """In words what a record is made of: images of a size, or which features."""
    if is_image:
        return f"images {list(shape)}"
    text = f"{int(np.prod(shape))} features"
    if features:
        more = f" and {len(features) - SHOWN} more" if len(features) > SHOWN else ""
        text += f" ({', '.join(features[:SHOWN])}{more})"
    if left_out:
        text += f", without {', '.join(left_out)}, which are taken for ids (rename one to make it a feature)"
    return text
