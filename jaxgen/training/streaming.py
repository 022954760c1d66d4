"""Training images that stay on the host and reach the devices chunk by chunk."""

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
    """The chunks of `source`, on the host, in the order that they would have in memory.

    Each process reads ahead what its own devices need. `key` is this process's own copy of the
    order's key, with a member axis for a population. The state's step is the position of the
    stream: nothing of it is ever saved.
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
    own = own_part(layout.rows, sizes)

    def rows(chunk: int) -> Int[np.ndarray, "..."]:
        epoch, position = divmod(chunk, shape.num_chunks)
        return order(epoch)[..., position, :, :][own]

    def to_devices(array: np.ndarray) -> jax.Array:
        image_sizes = array.shape[len(sizes) :]
        return jax.make_array_from_process_local_data(layout.rows, array, (*sizes, *image_sizes))

    def chunks(first_chunk: int) -> Iterator[Batch]:
        for chunk in read_chunks(source, rows, first_chunk):
            yield jax.tree.map(to_devices, chunk)

    return chunks


def own_part(sharding: NamedSharding, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The block of a global array that lies on this process's devices."""
    indices = sharding.addressable_devices_indices_map(shape).values()
    return tuple(
        slice(
            min(part.start or 0 for part in axis),
            max(size if part.stop is None else part.stop for part in axis),
        )
        for size, *axis in zip(shape, *indices, strict=True)
    )
