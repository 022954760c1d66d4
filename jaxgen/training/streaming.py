"""Training images that stay on the host and are sent to the devices chunk by chunk."""

from collections.abc import Iterator
from functools import lru_cache, partial

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Int, Key

from jaxgen.data.prefetch import read_chunks
from jaxgen.training.loop import EpochShape, Stream, epoch_order
from jaxgen.training.sharding import Layout
from jaxgen.types import Batch


def stream(source: Batch, key: Key[Array, "..."], shape: EpochShape, layout: Layout) -> Stream:
    """Stream the chunks of `source` from the host, in the same order as those of data in memory.

    Each process reads only the part for its own devices. `key` is this process's copy of
    `RunKeys.order`, with a member axis for a population. The step of the state determines the
    position in the stream, which is never saved.
    """
    make_order = jax.jit(
        layout.lift(partial(epoch_order, num_examples=len(source.label), shape=shape), (0, None))
    )

    @lru_cache(maxsize=2)  # readers may already be in the next epoch
    def order(epoch: int) -> Int[np.ndarray, "... chunks steps b"]:
        return np.asarray(make_order(key, epoch))

    sizes = (shape.chunk_steps, shape.batch_size)
    if layout.num_members is not None:
        sizes = (layout.num_members, *sizes)
    block = local_block(layout.rows, sizes)

    def rows(chunk: int) -> Int[np.ndarray, "..."]:
        epoch, position = divmod(chunk, shape.num_chunks)
        return order(epoch)[..., position, :, :][block]

    def to_devices(array: np.ndarray) -> jax.Array:
        image_sizes = array.shape[len(sizes) :]
        return jax.make_array_from_process_local_data(layout.rows, array, (*sizes, *image_sizes))

    def chunks(first_chunk: int) -> Iterator[Batch]:
        for chunk in read_chunks(source, rows, first_chunk):
            yield jax.tree.map(to_devices, chunk)

    return chunks


def local_block(sharding: NamedSharding, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the block of a global array that is on the devices of this process."""
    indices = sharding.addressable_devices_indices_map(shape).values()
    return tuple(
        slice(
            min(part.start or 0 for part in axis),
            max(size if part.stop is None else part.stop for part in axis),
        )
        for size, *axis in zip(shape, *indices, strict=True)
    )
