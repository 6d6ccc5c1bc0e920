"""What a model gives instead of logits is named, with what to return."""

from __future__ import annotations

import pytest
import torch

from raymeter.models.outputs import wrong_output


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (torch.zeros(2, 3), ""),
        (
            {"loss": None, "logits": torch.zeros(2, 3)},
            "gives a dict (loss, logits); it must give the tensor of logits alone: return output['logits'], in a module",
        ),
        ({"scores": 1}, "gives a dict (scores); it must give the tensor of logits alone: return output['scores']"),
        ({}, "gives a dict (empty); it must"),
        ((torch.zeros(2, 3), None), "gives a tuple of 2; it must give the tensor of logits alone: return the one"),
        (None, "gives NoneType; it must give a tensor (2, 3), a logit per class"),
        (torch.zeros(2, 4), "gives (2, 4) for two records; it must give (2, 3), a logit per class"),
    ],
)
def test_other_outputs_are_named(output, message):
    """Nothing is said of logits."""
    assert wrong_output(output, 2, 3).startswith(message)
    assert bool(wrong_output(output, 2, 3)) == bool(message)


@pytest.mark.parametrize(("shape", "z"), [((5, 1), "z"), ((5,), "z[:, None]")])
def test_a_single_logit_gets_the_other(shape, z):
    """Of two classes, the first has 0."""
    assert wrong_output(torch.zeros(shape), 5, 2).endswith(
        f"0 and its own, torch.cat([torch.zeros_like({z}), {z}], dim=1)"
    )
