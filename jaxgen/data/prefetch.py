"""Chunks of data sets too large for the device, read by the host while the device is busy."""

import sys
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Int

from jaxgen.types import Batch

CHUNKS_AHEAD = 2  # with one thread each: one waits for the disk while the other copies


def read_chunks(
    source: Batch, rows: Callable[[int], Int[np.ndarray, "..."]], first_chunk: int
) -> Iterator[Batch]:
    """Iterate without end over chunks from `first_chunk` on, reading ahead in the background.

    Chunk i holds the examples `rows(i)` of `source` in the shape of the rows: image
    `[*rows.shape, h, w, c]` and label `[*rows.shape]`. It depends on i alone, so that a run can
    resume at any chunk without a saved position. `rows` is called from several threads; an
    exception that it raises takes the place of its chunk.
    """
    import grain

    def read(chunk: int) -> Batch:
        indices = rows(chunk)
        return jax.tree.map(
            lambda array: array[indices.ravel()].reshape(*indices.shape, *array.shape[1:]), source
        )

    chunks = grain.MapDataset.range(first_chunk, sys.maxsize).map(read)
    read_ahead = grain.ReadOptions(num_threads=CHUNKS_AHEAD, prefetch_buffer_size=CHUNKS_AHEAD)
    return iter(chunks.to_iter_dataset(read_ahead))
