"""Check that a run fits its devices before it starts."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from jaxgen.errors import InputError
from jaxgen.runner.setup import Setup
from jaxgen.training import memory
from jaxgen.training.loop import Trainer
from jaxgen.types import Batch

NEARLY_FULL = 0.8


def check_fits(
    train: Trainer, state: PyTree[jax.ShapeDtypeStruct], setup: Setup, key: Key[Array, "..."]
) -> str:
    """Return a notice if the compiled program nearly fills a device; otherwise an empty string.

    If it exceeds the device, raises an InputError that suggests a size that fits.
    """
    layout, shape, data = setup.layout, setup.shape, setup.data
    state = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=layout.members), state
    )
    rows = _chunk(setup, (), jnp.int32)
    resident = None
    if data.is_streamed:
        image = _chunk(setup, setup.facts.image_shape, jnp.uint8)
        rows = Batch(image, rows)  # pyright: ignore[reportArgumentType]
    else:
        resident = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=layout.shared), data.train
        )
    use = memory.memory_use(train.lower(state, resident, rows, key, np.int32(0)).compile())
    limit = memory.device_bytes()
    notice = f"training needs {_size(use.total)} of the {_size(limit)} on each device"
    if use.total <= limit:
        return notice if use.total > NEARLY_FULL * limit else ""
    shared = _num_bytes(resident)
    if layout.num_members is None:
        fixed = _num_bytes(state)  # the gradients and updates, whatever the batch
        fits = shape.batch_size * (limit - use.held - fixed) // max(use.temporary - fixed, 1)
        hint = f"a --batch-size of about {fits} would fit"
    else:
        fixed = shared + (use.temporary if layout.is_sequential else 0)
        fits = layout.num_members * (limit - fixed) // (use.total - fixed)
        hint = f"about {fits} {'member' if fits == 1 else 'members'} would fit"
        hint += " (--num-seeds, --sweep)"
    if fits < 1:
        hint = "not even one fits: choose a smaller model or data set"
    raise InputError(f"This {notice}: {hint}.")


def _chunk(setup: Setup, sizes: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    layout, shape = setup.layout, setup.shape
    members = () if layout.num_members is None else (layout.num_members,)
    sizes = (*members, shape.chunk_steps, shape.batch_size, *sizes)
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=layout.rows)


def _num_bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB"
