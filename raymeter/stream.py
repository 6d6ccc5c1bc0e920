"""Records that stay in their files, streamed by Ray Data: fixed ranges in a fixed order, whoever reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
import ray.data
from jaxtyping import Int64
from ray.data import ExecutionResources

from raymeter.schema import LazyRecords

BUFFERED = 512 * 2**20  # bytes that one stream may have read ahead into the object store
Chunk = tuple[int, int, int]  # part, start, stop


def stream_records(
    parts: Sequence[np.ndarray | LazyRecords],
    chunks: Sequence[Chunk],
    labels: Sequence[Int64[np.ndarray, " records"]],
    *,
    readers: int = 2,
    keep: Any = None,
    ordered: bool = False,
) -> ray.data.Dataset:
    """Chunks of records as a Ray Data stream with the columns row, x and y; each is read in a task of its own.

    Reading takes no CPU of Ray's: what computes on the records may hold all of them.

    Args:
        parts: Arrays, or records in files that all nodes see; `row` numbers their concatenation.
        chunks: (part, start, stop), in the order in which they are read.
        labels: Of each part.
        readers: Tasks that read at once.
        keep: Object reference of a mask [rows] of the records to pass on; None for all.
        ordered: Whether blocks arrive in the order of the chunks.
    """
    held = ray.put((list(parts), list(labels)))
    source = ray.data.from_items([{"chunk": list(chunk)} for chunk in chunks], override_num_blocks=len(chunks))
    execution = source.context.execution_options
    execution.preserve_order = ordered
    execution.resource_limits = ExecutionResources(object_store_memory=BUFFERED)
    return source.map_batches(
        read_chunk,  # type: ignore[arg-type]
        fn_kwargs={"held": [held], "keep": [keep]},  # in lists: Ray Data would resolve bare references
        batch_size=1,
        batch_format="numpy",
        num_cpus=0,
        compute=ray.data.TaskPoolStrategy(size=readers),
    )


def read_chunk(batch: dict[str, np.ndarray], held: list[Any], keep: list[Any]) -> dict[str, np.ndarray]:
    """One chunk, read from its file or cut from its array."""
    part, start, stop = (int(value) for value in batch["chunk"][0])
    parts, labels = ray.get(held[0])
    offset = sum(len(each) for each in labels[:part])
    row = np.arange(offset + start, offset + stop)
    x, y = parts[part][start:stop], labels[part][start:stop]
    if keep[0] is not None:
        chosen = ray.get(keep[0])[row]
        row, x, y = row[chosen], x[chosen], y[chosen]
    return {"row": row, "x": x, "y": y}
