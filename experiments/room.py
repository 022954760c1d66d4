"""Whether a run has room on its devices: found out before it starts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from experiments.launch import DataSets
from jaxgen.errors import InputError
from jaxgen.training import memory
from jaxgen.training.devices import Layout
from jaxgen.training.loop import EpochShape
from jaxgen.types import Batch

NEAR = 0.8  # of the device: worth a line


def check_room(
    train: Any,
    state: PyTree[jax.ShapeDtypeStruct],
    sets: DataSets,
    key: Key[Array, "..."],
    shape: EpochShape,
    layout: Layout,
) -> str | None:
    """What to tell the user where training will nearly fill a device, from the compiled program.

    Raises InputError, with a size that would fit, where it will not fit.
    """
    state = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=layout.members), state
    )
    data = None if sets.is_streamed else sets.train
    rows = _streamed(sets, shape, layout) if sets.is_streamed else _rows(shape, layout)
    need = memory.needed(train.lower(state, data, rows, key, np.int32(0)).compile())
    limit = memory.device_bytes()
    says = f"training takes {_size(need.total)} of the {_size(limit)} of each device"
    if need.total <= limit:
        return says if need.total > NEAR * limit else None
    shared = sum(leaf.nbytes for leaf in jax.tree.leaves(data))
    if layout.num_members is None:
        fits = shape.batch_size * (limit - need.held) // need.temporary
        hint = f"a --batch-size of about {fits} would fit"
    else:
        fixed = shared + (need.temporary if layout.takes_turns else 0)
        fits = layout.num_members * (limit - fixed) // (need.total - fixed)
        members = "member" if fits == 1 else "members"
        hint = f"about {fits} {members} would fit (--num-seeds, --sweep)"
    if fits < 1:
        hint = "not even one fits: choose a smaller model or data set"
    raise InputError(f"This {says}: {hint}.")


def _rows(shape: EpochShape, layout: Layout) -> jax.ShapeDtypeStruct:
    return _chunk((), jnp.int32, shape, layout)


def _streamed(sets: DataSets, shape: EpochShape, layout: Layout) -> Batch:
    image = _chunk(sets.image_shape, jnp.uint8, shape, layout)
    return Batch(image, _rows(shape, layout))  # pyright: ignore[reportArgumentType]


def _chunk(sizes: tuple[int, ...], dtype: Any, shape: EpochShape, layout: Layout):
    members = () if layout.num_members is None else (layout.num_members,)
    sizes = (*members, shape.chunk_steps, shape.batch_size, *sizes)
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=layout.rows)


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB"
