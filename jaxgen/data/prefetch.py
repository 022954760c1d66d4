"""Chunks of sets that do not fit the device, read by the host while the device is busy."""

import sys
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Int

from jaxgen.types import Batch

CHUNKS_AHEAD = 2  # with a thread each: one waits for the disk while the other copies


def read_chunks(
    source: Batch, rows: Callable[[int], Int[np.ndarray, "..."]], first_chunk: int
) -> Iterator[Batch]:
    """Iterate endlessly over chunks from `first_chunk` on, read ahead in the background.

    Chunk i holds the examples `rows(i)` of `source` in the shape of the rows: image
    `[*rows.shape, h, w, c]` and label `[*rows.shape]`. It depends on i alone, so that a run can
    continue from any chunk with nothing saved. `rows` is called from several threads; what it
    raises is raised in place of its chunk.
    """
    import grain

    def read(chunk: int) -> Batch:
        row = rows(chunk)
        return jax.tree.map(
            lambda array: array[row.reshape(-1)].reshape(*row.shape, *array.shape[1:]), source
        )

    chunks = grain.MapDataset.range(first_chunk, sys.maxsize).map(read)
    read_ahead = grain.ReadOptions(num_threads=CHUNKS_AHEAD, prefetch_buffer_size=CHUNKS_AHEAD)
    return iter(chunks.to_iter_dataset(read_ahead))
