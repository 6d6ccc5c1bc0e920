"""Logits -> per-record signals: plain torch, models in eval mode, float32.

`logit_gap` is z_y - logsumexp of the other logits (LiRA's stable form of log(p / (1 - p)));
`log_prob` is log p_y = log sigmoid(logit_gap), which loses nothing where p_y is close to 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from raymeter.errors import SignalError
from raymeter.models.inputs import as_tensor, exact_convolutions, normalise
from raymeter.schema.signals import View

SIGNAL_VERSION = 2  # part of every column's key: raise it when the numbers change


def make_views(x: Tensor, views: Sequence[View]) -> list[Tensor]:
    """Normalised versions of a batch, one per view."""
    plain = normalise(x)
    return [plain if view == "identity" else plain.flip(-1) for view in views]


def logit_gap(logits: Float[Tensor, "records classes"], labels: Int64[Tensor, " records"]) -> Float[Tensor, " records"]:
    """True-class logit minus logsumexp of the other logits; higher means better fitted.

    References:
        Carlini et al., Membership Inference Attacks From First Principles, S&P 2022, section VI-A.
    """
    true = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return true - torch.logsumexp(others, dim=1)


@dataclass(frozen=True)
class SignalBlock:
    """Signals of one batch of records, in the order of KINDS, and the logits where they were asked for."""

    values: Float32[np.ndarray, "kinds records models queries"]
    logits: Float32[np.ndarray, "records models queries classes"] | None


@torch.inference_mode()
def compute_signals(
    models: Iterable[nn.Module],
    x: np.ndarray,
    y: Int64[np.ndarray, " records"],
    views: Sequence[View],
    device: torch.device,
    keep_logits: bool = False,
) -> SignalBlock:
    """Both signals of one batch of records under every model.

    The batch goes to the device once; models may come from an iterator that loads them one by one.

    Raises:
        SignalError: A logit is not finite; the model's position and the record's row are named.
    """
    batch = make_views(as_tensor(x).to(device), views)
    labels = as_tensor(y).to(device)
    gaps, kept = [], []
    for model in models:
        with exact_convolutions(tf32=False):
            logits = [model.eval()(view).float() for view in batch]
        gaps.append(torch.stack([logit_gap(of_view, labels) for of_view in logits], dim=1))
        if keep_logits:
            kept.append(torch.stack(logits, dim=1))
    values = torch.stack(gaps, dim=1)
    bad = torch.nonzero(~torch.isfinite(values))
    if len(bad):
        row, position, _ = bad[0].tolist()
        raise SignalError(
            f"the model at position {position} gives a signal that is not finite for row {row} of its batch; "
            "it has diverged: lower train.learning_rate"
        )
    return SignalBlock(
        torch.stack([F.logsigmoid(values), values]).cpu().numpy(),
        torch.stack(kept, dim=1).cpu().numpy() if keep_logits else None,
    )
