"""Sets that do not fit the device: a run's chunks, read on the host while the device works."""

import sys
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jaxtyping import Int

from jaxgen.types import Batch

CHUNKS_AHEAD = 2  # and a thread for each: one waits for the disk while the other copies


def read_chunks(
    source: Batch,
    rows: Callable[[int], Int[np.ndarray, "..."]],
    first_chunk: int,
    prepare: Callable[[Batch], Batch],
) -> Iterator[Batch]:
    """The chunks of a run from `first_chunk` on, without an end, read ahead in the background.

    Chunk i has the examples `rows(i)` of `source`, prepared, in the shape of the rows: image
    `[*rows.shape, h, w, c]` and label `[*rows.shape]`. It depends on i alone, so a run goes on
    from any chunk with nothing saved. `rows` and `prepare` are called from several threads; what
    they raise is raised where their chunk would come.
    """
    import grain

    def read(chunk: int) -> Batch:
        row = rows(chunk)
        examples = jax.tree.map(lambda array: array[row.reshape(-1)], source)
        return jax.tree.map(
            lambda array: array.reshape(*row.shape, *array.shape[1:]), prepare(examples)
        )

    chunks = grain.MapDataset.range(first_chunk, sys.maxsize).map(read)
    read_ahead = grain.ReadOptions(num_threads=CHUNKS_AHEAD, prefetch_buffer_size=CHUNKS_AHEAD)
    return iter(chunks.to_iter_dataset(read_ahead))
