"""Records that stay in their files, streamed by Ray Data: fixed ranges in a fixed order, whoever reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import ray.data
from jaxtyping import Bool, Int64
from ray.data import ExecutionResources

BUFFERED = 256 * 2**20  # bytes that one stream may have read ahead into the object store
PartChunk = tuple[int, int, int]  # part, start, stop


def stream_records(
    parts: Sequence[tuple[Any, Any]],
    chunks: Sequence[PartChunk],
    *,
    readers: int,
    keep: Any = None,
    ordered: bool = False,
) -> ray.data.Dataset:
    """Chunks of records as a Ray Data stream with the columns row, x and y; each is read in a task of its own.

    Reading takes no CPU of Ray's: what computes on the records may hold all of them.

    Args:
        parts: Object references of records (an array, or records in files that all nodes see) and of their labels;
            `row` numbers their concatenation.
        chunks: (part, start, stop), in the order in which they are read.
        readers: Tasks that read at once.
        keep: Object reference of a mask [rows] of the records to pass on; None for all.
        ordered: Whether blocks arrive in the order of the chunks.
    """
    source = ray.data.from_items([{"chunk": list(chunk)} for chunk in chunks], override_num_blocks=len(chunks))
    context = source.context
    context.enable_progress_bars = context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1
    context.execution_options.preserve_order = ordered
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=BUFFERED)
    return source.map_batches(
        read_chunk,  # type: ignore[arg-type]
        fn_kwargs={"parts": [list(part) for part in parts], "keep": [keep]},  # bare references would be resolved
        batch_size=1,
        batch_format="numpy",
        num_cpus=0,
        compute=ray.data.TaskPoolStrategy(size=readers),
    )


def read_chunk(batch: dict[str, np.ndarray], parts: list[list[Any]], keep: list[Any]) -> dict[str, np.ndarray]:
    """One chunk, read from its file or cut from its array."""
    part, start, stop = (int(value) for value in batch["chunk"][0])
    x, y = ray.get(parts[part])
    offset = sum(len(ray.get(labels)) for _, labels in parts[:part])
    row = np.arange(offset + start, offset + stop)
    records, labels = x[start:stop], y[start:stop]
    if keep[0] is not None:
        chosen = ray.get(keep[0])[row]
        row, records, labels = row[chosen], records[chosen], labels[chosen]
    return {"row": row, "x": records, "y": labels}


def read_in_order(
    x: Any, y: Any, chunks: Sequence[tuple[int, int]], keep: Bool[np.ndarray, " records"] | None
) -> Iterator[tuple[Int64[np.ndarray, " rows"], np.ndarray, Int64[np.ndarray, " rows"]]]:
    """Numbers, records and labels of one chunk after the other, while the next one is being read.

    Args:
        x, y: Object references.
        keep: The records to pass on; None for all.
    """
    mask = None if keep is None else ray.put(keep)
    source = stream_records([(x, y)], [(0, *chunk) for chunk in chunks], readers=1, keep=mask, ordered=True)
    for batch in source.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
        yield batch["row"], batch["x"], batch["y"]
