"""Training images that stay on the host and come to the devices chunk by chunk."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Int, Key

from jaxgen.data.stream import read_chunks
from jaxgen.training.devices import Layout
from jaxgen.training.loop import EpochShape, Stream, epoch_order
from jaxgen.types import Batch


def stream(
    source: Batch,
    key: Key[Array, "..."],
    shape: EpochShape,
    layout: Layout,
    prepare: Callable[[Batch], Batch],
) -> Stream:
    """The chunks of `source`, on the host, in the order that they would have in memory.

    Each process reads what its own devices need, ahead of time. `prepare` makes the images as
    large as the model takes them. `key` is this process's own copy of the order's key, with a
    member axis for a population. Where a run has come to is its state's step: nothing of the
    stream is ever saved.
    """
    make_order = jax.jit(
        layout.lift(partial(epoch_order, num_examples=len(source.label), shape=shape), (0, None))
    )

    @lru_cache(maxsize=2)  # readers may be in the next epoch already
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
        for chunk in read_chunks(source, rows, first_chunk, prepare):
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
