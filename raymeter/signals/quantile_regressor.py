"""Quantile regressors for QMIA: what signal to expect of a record that a model was not trained on. Plain torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from raymeter.attacks.qmia import LEVELS, Qmia
from raymeter.models import build_model
from raymeter.models.inputs import as_tensor, normalise
from raymeter.models.tabular import fills_gaps, learn_from_members
from raymeter.schema.seeds import seed_for
from raymeter.schema.signals import View
from raymeter.signals.compute import make_views

HELD_OUT = 0.2  # share of the public records that decide when to stop
PATIENCE = 8  # epochs without a better loss on them
SLOWEST, WIDEST = -5.0, 5.0  # bounds of the log standard deviation, in units of the signals' own
LARGEST_GRADIENT = 1.0
PREDICTED_AT_ONCE = 2048


@dataclass(frozen=True)
class PublicRecords:
    """Records that the target was not trained on, and the target's signal on each view of each."""

    x: np.ndarray
    y: Int64[np.ndarray, " records"]
    signal: Float[np.ndarray, "records queries"]


@dataclass(frozen=True)
class Regressor:
    """A fitted network and the scale of the signals that it was fitted to."""

    network: nn.Module
    recipe: Qmia
    centre: float
    scale: float

    def outputs_for(self, x: Tensor, y: Tensor) -> Float[Tensor, "records outputs"]:
        """Standardised outputs for records of one view, those of each record's own class."""
        return _own_class(self.network(x), y, self.recipe.outputs)

    @torch.inference_mode()
    def predict(
        self, x: np.ndarray, y: Int64[np.ndarray, " records"], views: Sequence[View], device: torch.device
    ) -> Float32[np.ndarray, "records queries outputs"]:
        """Mean and log standard deviation, or quantiles at `LEVELS`, of every view, in units of the signal."""
        self.network.eval()
        parts = []
        for start in range(0, len(x), PREDICTED_AT_ONCE):
            rows = slice(start, start + PREDICTED_AT_ONCE)
            batch, labels = make_views(as_tensor(x[rows]).to(device), views), as_tensor(y[rows]).to(device)
            parts.append(torch.stack([self.outputs_for(view, labels) for view in batch], dim=1))
        outputs = torch.cat(parts).double()
        if self.recipe.head == "gaussian":
            mean, log_sd = outputs[..., 0], outputs[..., 1].clamp(SLOWEST, WIDEST)
            outputs = torch.stack([mean * self.scale + self.centre, log_sd + float(np.log(self.scale))], dim=-1)
        else:
            outputs = outputs * self.scale + self.centre
        return outputs.float().cpu().numpy()


def fit_regressor(
    public: PublicRecords, recipe: Qmia, views: Sequence[View], num_classes: int, device: torch.device, seed: int
) -> Regressor:
    """Fit a network to the signals by the Gaussian likelihood or the pinball loss; the same seed, the same bits.

    The network has a set of outputs for every class, and a record is judged by its own class's. A fifth of the
    public records is held out; the weights that do best there are kept. Audited records are never read.

    References:
        Bertran et al., NeurIPS 2023, arXiv:2307.03694, section 3 (pinball and Gaussian objectives).
    """
    order = np.random.default_rng(seed_for(seed, "held out")).permutation(len(public.x))
    held = max(1, round(HELD_OUT * len(order)))
    fitted, kept = order[held:] if len(order) > 1 else order, order[:held]
    centre = float(public.signal[fitted].mean(dtype=np.float64))
    scale = max(float(public.signal[fitted].std(dtype=np.float64)), 1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "weights") % 2**63)
        network = build_model(recipe.model, public.x.shape[1:], num_classes * recipe.outputs).to(device)
        if fills_gaps(network):
            learn_from_members(network, normalise(as_tensor(public.x[np.sort(fitted)]).to(device)))
    regressor = Regressor(network, recipe, centre, scale)
    data = _Tensors(
        as_tensor(public.x).to(device),
        as_tensor(public.y).to(device),
        torch.as_tensor((public.signal - centre) / scale, dtype=torch.float32, device=device),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    best, waited, state = np.inf, 0, _copy(network)
    for epoch in range(recipe.epochs):
        network.train()
        shuffled = np.random.default_rng(seed_for(seed, "epoch", epoch)).permutation(fitted)
        # a batch of one record would break batch normalisation
        batches = max(1, min(round(len(shuffled) / recipe.batch_size), len(shuffled) // 2))
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(seed_for(seed, "epoch", epoch))  # dropout draws from torch's own generator
            for rows in np.array_split(shuffled, batches):
                optimizer.zero_grad()
                loss = _loss(regressor, data, torch.from_numpy(rows).to(device), views)
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
                optimizer.step()
        held_out_loss = _held_out_loss(regressor, data, kept, views)
        if held_out_loss < best:
            best, waited, state = held_out_loss, 0, _copy(network)
        elif (waited := waited + 1) >= PATIENCE:
            break
    network.load_state_dict(state)
    return regressor


@dataclass(frozen=True)
class _Tensors:
    """Public records on the device, and the target's standardised signal on each view of each."""

    x: Tensor
    y: Int64[Tensor, " records"]
    signal: Float[Tensor, "records queries"]


def _loss(regressor: Regressor, data: _Tensors, rows: Tensor, views: Sequence[View]) -> Float[Tensor, ""]:
    """Mean loss of some records over all views."""
    losses = []
    for query, view in enumerate(make_views(data.x[rows], views)):
        outputs, own = regressor.outputs_for(view, data.y[rows]), data.signal[rows, query]
        if regressor.recipe.head == "gaussian":
            log_sd = outputs[:, 1].clamp(SLOWEST, WIDEST)
            losses.append((log_sd + 0.5 * ((own - outputs[:, 0]) / log_sd.exp()) ** 2).mean())
        else:
            levels = torch.tensor(LEVELS, device=outputs.device)
            short = own[:, None] - outputs
            losses.append(torch.maximum(levels * short, (levels - 1) * short).mean())
    return torch.stack(losses).mean()


@torch.inference_mode()
def _held_out_loss(
    regressor: Regressor, data: _Tensors, kept: Int64[np.ndarray, " held_out"], views: Sequence[View]
) -> float:
    regressor.network.eval()
    parts = np.array_split(kept, -(-len(kept) // PREDICTED_AT_ONCE))
    losses = [_loss(regressor, data, torch.from_numpy(rows).to(data.x.device), views) for rows in parts]
    return float(torch.stack(losses).mean())


def _own_class(outputs_of_all: Tensor, y: Tensor, outputs: int) -> Float[Tensor, "records outputs"]:
    """Of [records, classes * outputs] the outputs that belong to each record's label."""
    by_class = outputs_of_all.float().reshape(len(outputs_of_all), -1, outputs)
    return by_class[torch.arange(len(by_class), device=by_class.device), y]


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
