"""PyTorch weights in and out, under the parameter names of the course's classes.

PyTorch itself is imported by `to_torch`, and where a file is PyTorch's own.
"""

import io
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxgen.errors import InputError
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.interop.layouts import Model, StateDict, entries, without_prefix
from jaxgen.vae.models import MLPVAE, ConvVAE

COUNTER = "num_batches_tracked"  # of BatchNorm: nothing here depends on it


def from_torch(model: Model, state_dict: StateDict) -> dict[str, PyTree]:
    """The model's variables from a state dict of the course's class of the same kind.

    Values keep their bits; BatchNorm's averages are taken as they are (PyTorch's variance is the
    unbiased one, Flax's the biased: they drift apart by n / (n - 1) as training goes on). Raises
    InputError that lists all entries that are missing, left over or of another shape.
    """
    arrays = {
        name: _numpy(value)
        for name, value in without_prefix(state_dict).items()
        if not name.endswith(COUNTER)
    }
    table = list(entries(model))
    shapes = _shapes(model)
    expected = {
        entry.name: (entry.torch_shape(shapes[entry.path]), "/".join(entry.path)) for entry in table
    }
    _check("state dict", model, expected, arrays)

    variables: dict[str, PyTree] = {}
    for entry in table:
        collection, module, leaf = entry.path
        array = jnp.asarray(entry.to_flax(arrays[entry.name]))
        variables.setdefault(collection, {}).setdefault(module, {})[leaf] = array
    return variables


def to_numpy(model: Model, variables: PyTree) -> dict[str, np.ndarray]:
    """The state dict of the course's class, as numpy arrays; the inverse of `from_torch`.

    Without BatchNorm's counters of batches, which PyTorch adds by itself. Raises InputError as
    `from_torch` does.
    """
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    arrays = {"/".join(key.key for key in path): np.asarray(leaf) for path, leaf in leaves}
    table = list(entries(model))
    shapes = _shapes(model)
    expected = {"/".join(entry.path): (shapes[entry.path], entry.name) for entry in table}
    _check("tree of variables", model, expected, arrays)
    return {entry.name: entry.to_torch(arrays["/".join(entry.path)]) for entry in table}


def to_torch(model: Model, variables: PyTree) -> dict[str, Any]:
    """`to_numpy` as tensors: what the course's class takes in `load_state_dict`."""
    torch = _import_torch()
    return {name: torch.tensor(array) for name, array in to_numpy(model, variables).items()}


def load(path: Path) -> dict[str, Any]:
    """The state dict in a .pt, .pth, .ckpt or .safetensors file: tensors or numpy arrays.

    Of a checkpoint that holds more, what is under `state_dict`; of several networks, their entries
    as `network.name`. Raises InputError for a file that
    is none of these, or that would run code when it is read.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file: give one that holds PyTorch weights.")
    match path.suffix:
        case ".safetensors":
            loaded: Any = _load_safetensors(path)
        case ".pt" | ".pth" | ".ckpt":
            loaded = _load_pickled(path)
        case _:
            raise InputError(_unknown_suffix(path))
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if isinstance(loaded, Mapping) and all(isinstance(v, Mapping) for v in loaded.values()):
        loaded = {f"{net}.{name}": v for net in loaded for name, v in loaded[net].items()}
    if not isinstance(loaded, Mapping) or not all(hasattr(v, "shape") for v in loaded.values()):
        raise InputError(f"{path} holds no state dict: save `model.state_dict()` and try again.")
    return dict(loaded)


def save(path: Path, state_dict: Mapping[str, np.ndarray]) -> None:
    """Writes a state dict that PyTorch can load, as the file's suffix says; see `load`.

    All of it or nothing: raises InputError where there is no such directory, and the OSError of a
    full disk.
    """
    if not path.absolute().parent.is_dir():
        raise InputError(f"There is no directory {path.parent}: make it, then try again.")
    match path.suffix:
        case ".safetensors":
            data = _import_safetensors().numpy.save(dict(state_dict))
        case ".pt" | ".pth" | ".ckpt":
            torch = _import_torch()
            tensors = {name: torch.tensor(array) for name, array in state_dict.items()}
            buffer = io.BytesIO()
            torch.save({"state_dict": tensors} if path.suffix == ".ckpt" else tensors, buffer)
            data = buffer.getvalue()
        case _:
            raise InputError(_unknown_suffix(path))
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _shapes(model: Model) -> dict[tuple[str, ...], tuple[int, ...]]:
    """The shape of every variable."""
    key, label = jax.random.key(0), jnp.zeros(1, jnp.int32)
    image = jnp.zeros((1, *model.image_shape))
    match model:
        case ConvVAE() | MLPVAE():
            inputs = (image, key)
        case Generator():
            inputs = (jnp.zeros((1, model.latent_dim)), label)
        case Discriminator():
            inputs = (image, label)
    tree = jax.eval_shape(partial(model.init, train=False), key, *inputs)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {tuple(key.key for key in path): leaf.shape for path, leaf in leaves}


def _check(
    side: str,
    model: Model,
    expected: Mapping[str, tuple[tuple[int, ...], str]],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """`expected` maps each name to its shape, and to its name on the other side."""
    shapes = {name: array.shape for name, array in arrays.items()}
    lines = []
    for name, (shape, other) in expected.items():
        if name not in shapes:
            lines.append(f"missing: {name} {list(shape)} (here {other})")
        elif shapes[name] != shape:
            lines.append(
                f"misshapen: {name} {list(shapes[name])} (here {other}) should be {list(shape)}"
            )
    lines += [f"left over: {name} {list(shapes[name])}" for name in shapes.keys() - expected]
    if lines:
        problem = f"The {side} does not fit a {type(model).__name__} of {model.image_shape} images:"
        raise InputError("\n  ".join([problem, *sorted(lines)]))


def _numpy(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def _load_pickled(path: Path) -> Any:
    torch = _import_torch()
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of any class, as the file is any file
        if foreign := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise InputError(
                f"{path} holds {foreign[1]}, and reading more than weights could run code: it is "
                "refused. Save `model.state_dict()` alone."
            ) from None
        raise InputError(f"{path} is damaged, or no file of PyTorch's.") from None


def _load_safetensors(path: Path) -> dict[str, np.ndarray]:
    safetensors = _import_safetensors()
    try:
        return safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise InputError(f"{path} is damaged: {error}") from None


def _unknown_suffix(path: Path) -> str:
    return f"{path}: weights are read from and written to .pt, .pth, .ckpt and .safetensors files."


def _import_torch() -> ModuleType:
    try:
        import torch
    except ImportError:
        raise InputError("This needs PyTorch: pip install 'jaxgen[torch]'") from None
    return torch


def _import_safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError:
        raise InputError("This needs safetensors: pip install 'jaxgen[torch]'") from None
    return safetensors
