"""Small signal work, done in the driver: starting actors would take longer than the work itself.

The blocks, the number of threads and the code are those of an actor, and so are the bits. Models of the user's own are
asked in actors alone: what ends their process must not end the audit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch

from raymeter.distributed.signals.worker import SignalActor, SignalWork
from raymeter.models import MODELS
from raymeter.models.build import weights_bytes

Block: TypeAlias = dict[str, np.ndarray]
SECONDS = 5.0  # of work; about what the first block takes to come back from actors
MODELS_BYTES = 256 * 2**20  # of weights, which the driver would hold
WARM_UP = 2  # blocks, of which the first loads what torch needs


def suits_driver(work: SignalWork, resources: Mapping[str, float]) -> bool:
    """Whether work may be tried here: on CPUs, with raymeter's own models, whose weights are small.

    Args:
        work: What is to be computed.
        resources: Of a model.
    """
    if not set(work.architectures) <= set(MODELS) or any(amount for name, amount in resources.items() if name != "CPU"):
        return False
    size = {name: weights_bytes(name, work.input_shape, work.num_classes) for name in set(work.architectures)}
    return sum(size[name] for name in work.architectures) <= MODELS_BYTES


def compute_here(work: SignalWork, blocks: Sequence[Block]) -> Iterator[Block]:
    """Signals of one block after another, as long as all of them would take no longer than SECONDS, by the fastest.

    Args:
        work: What is to be computed.
        blocks: `row`, `x` and `y` of each.

    Yields:
        What an actor gives for a block, in order; fewer than there are blocks where they would take too long.
    """
    with _threads(work.threads):
        actor, fastest = SignalActor(work), float("inf")
        for number, block in enumerate(blocks):
            if number >= WARM_UP and fastest * len(blocks) > SECONDS:
                return
            start = time.perf_counter()
            (signals,) = actor(block)
            fastest = min(fastest, time.perf_counter() - start)
            yield signals


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """An actor has threads of its own number, and so have the bits that it computes."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
