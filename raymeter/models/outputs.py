"""What a model gives for some records, held against what an audit needs: logits [records, outputs]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def wrong_output(output: Any, records: int, outputs: int, what: str = "a logit per class") -> str:
    """What is wrong with a model's output, and how to mend it; empty where nothing is.

    Args:
        output: What the model gave.
        records: How many it was given.
        outputs: How many numbers are asked for of each.
        what: They are.
    """
    if isinstance(output, Mapping):
        names = ", ".join(str(name) for name in output)
        name = next((name for name in ("logits", "out", "output") if name in output), next(iter(output), "logits"))
        return (
            f"gives a {type(output).__name__} ({names or 'empty'}); it must give the tensor of logits alone: return "
            f"output[{name!r}], in a module of your own around the model"
        )
    if isinstance(output, tuple | list):
        return (
            f"gives a {type(output).__name__} of {len(output)}; it must give the tensor of logits alone: return the "
            "one that holds them, in a module of your own around the model"
        )
    if not isinstance(output, Tensor):
        return f"gives {type(output).__name__}; it must give a tensor ({records}, {outputs}), {what}"
    shape = tuple(output.shape)
    if shape == (records, outputs):
        return ""
    if outputs == 2 and shape in ((records, 1), (records,)):
        z = "z" if len(shape) == 2 else "z[:, None]"
        what += f": 0 and its own, torch.cat([torch.zeros_like({z}), {z}], dim=1)"
    return (
        f"gives {shape} for {'two' if records == 2 else records} records; it must give ({records}, {outputs}), {what}"
    )
