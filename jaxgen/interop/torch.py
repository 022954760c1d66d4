"""Convert weights between PyTorch and Flax, by a model's table of names and layouts.

The table is an iterator of entries, such as `jaxgen.vae.torch_names.entries(model)`.
"""

import re
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PyTree

from jaxgen.errors import InputError
from jaxgen.torch_layers import ArrayLike, Entry, Shapes, StateDict, shapes_of, unwrap

COUNTER = "num_batches_tracked"  # of the batches of a BatchNorm, which Flax does not count
Leaves = Mapping[tuple[str, ...], Any]  # by path


def from_torch(entries: Iterable[Entry], state_dict: StateDict, like: PyTree) -> dict[str, PyTree]:
    """Convert the state dict of the corresponding PyTorch class to the variables of a model.

    `like` is a tree of variables, or of the ShapeDtypeStructs of `jax.eval_shape`, that has the
    model's shapes. Values keep their bits and dtypes; float64 needs `jax.enable_x64`. BatchNorm's
    running averages are copied, although those of the variance are unbiased in PyTorch and biased
    in Flax. Raises an InputError that lists all entries that are missing, unexpected or of the
    wrong shape.
    """
    table = list(entries)
    leaves = _leaves(table, like)
    arrays = {
        name: _to_numpy(value)
        for name, value in unwrap(state_dict, {entry.name for entry in table}).items()
        if not name.endswith(COUNTER)
    }
    _check_shapes(table, leaves, shapes_of(arrays))
    return unflatten_dict(
        {entry.path: jnp.asarray(entry.to_flax(arrays[entry.name])) for entry in table}
    )


def to_numpy(entries: Iterable[Entry], variables: PyTree) -> dict[str, np.ndarray]:
    """Convert variables to the state dict of the PyTorch class, as NumPy arrays.

    The inverse of `from_torch`, except for BatchNorm's `num_batches_tracked`, which PyTorch adds by
    itself. Raises an InputError that lists all variables that are missing, unexpected or of the
    wrong shape.
    """
    table = list(entries)
    leaves = _leaves(table, variables)
    return {entry.name: entry.to_torch(np.asarray(leaves[entry.path])) for entry in table}


def to_torch(entries: Iterable[Entry], variables: PyTree) -> dict[str, ArrayLike]:
    """Convert variables to a state dict of tensors, for `load_state_dict`."""
    torch = import_torch()
    return {name: torch.tensor(array) for name, array in to_numpy(entries, variables).items()}


def split_networks(state_dict: StateDict, names: Iterable[str]) -> dict[str, StateDict]:
    """Select the state dicts of the named networks, without their prefixes.

    The entries of a network are called `name.entry` or `name_state_dict.entry`, after any prefix of
    a wrapper. Networks without entries are left out. Raises InputError if two entries would have
    the same name.
    """
    either = "|".join(map(re.escape, names))
    pattern = re.compile(rf"(?:.+?\.)??({either})(?:_state_dict)?\.(.+)")
    networks: dict[str, dict[str, ArrayLike]] = {}
    for full_name, value in state_dict.items():
        if match := pattern.fullmatch(full_name):
            network = networks.setdefault(match[1], {})
            if match[2] in network:
                raise InputError(f"There is more than one {match[1]}.{match[2]}: keep one of them.")
            network[match[2]] = value
    return dict(networks)


def import_torch() -> ModuleType:
    """Import PyTorch, which is optional. Raises InputError if it is not installed."""
    try:
        import torch
    except ImportError:
        raise InputError("This needs PyTorch: run pip install 'jaxgen[torch]'.") from None
    return torch


def _leaves(table: list[Entry], variables: PyTree) -> Leaves:
    """Flatten the variables by path. Raises InputError if they are not those of the table."""
    leaves: Leaves = dict(flatten_dict(variables))
    unknown = leaves.keys() - {entry.path for entry in table}
    problems = [f"unexpected: {'/'.join(path)} {list(leaves[path].shape)}" for path in unknown]
    for entry in table:
        path = "/".join(entry.path)
        if entry.path not in leaves:
            problems.append(f"missing: {path} ({entry.name})")
        elif not entry.fits(leaves[entry.path].shape):
            shape = list(leaves[entry.path].shape)
            problems.append(f"wrong shape: {path} {shape} ({entry.name})")
    if problems:
        raise _misfit("The variables do not fit the model", problems)
    return leaves


def _check_shapes(table: list[Entry], leaves: Leaves, shapes: Shapes) -> None:
    """Raise InputError if a state dict with these shapes does not fit the variables."""

    def expected(more_channels: int) -> Shapes:
        return {e.name: e.torch_shape(leaves[e.path].shape, more_channels) for e in table}

    wanted = expected(0)
    if shapes == wanted:
        return
    for more in (1, 2, 3, -1, -2, -3):
        if shapes == expected(more):
            raise _other_channels(more)
    problems = [
        f"unexpected: {name} {list(shapes[name])}" for name in shapes.keys() - wanted.keys()
    ]
    for entry in table:
        shape = f"{list(wanted[entry.name])} ({'/'.join(entry.path)})"
        if entry.name not in shapes:
            problems.append(f"missing: {entry.name} {shape}")
        elif shapes[entry.name] != wanted[entry.name]:
            problems.append(
                f"wrong shape: {entry.name} {list(shapes[entry.name])}, expected {shape}"
            )
    raise _misfit("The weights do not fit the model", problems)


def _other_channels(more: int) -> InputError:
    """Return the error for weights of images with `more` channels more than the data set has."""
    kind = {2: "a color", -2: "a grayscale"}.get(more, "another")
    return InputError(
        f"The weights are for images with {'more' if more > 0 else 'fewer'} channels than the data "
        f"set has (by {abs(more)}): choose {kind} data set."
    )


def _misfit(summary: str, problems: list[str]) -> InputError:
    return InputError("\n  ".join([f"{summary}:", *sorted(problems)]))


def _to_numpy(value: ArrayLike) -> np.ndarray:
    """Convert an array, or a tensor on any device; PyTorch itself cannot convert bfloat16."""
    if not hasattr(value, "detach"):
        return np.asarray(value)
    tensor = value.detach().cpu()  # pyright: ignore[reportAttributeAccessIssue]
    if str(tensor.dtype) == "torch.bfloat16":
        return np.asarray(jnp.from_dlpack(tensor))
    return tensor.numpy()
