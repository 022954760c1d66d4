"""Names and memory layouts of PyTorch's layers beside those of Flax.

PyTorch's kernels are [out, in] and [out, in, h, w] ([in, out, h, w] if transposed), and it flattens
images as c, h, w. Flax's kernels are [in, out] and [h, w, in, out] ([h, w, out, in]), and images
flatten as h, w, c. A table of a model's names is an iterator of entries, put together from these
layers.
"""

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from jaxgen.errors import InputError


@runtime_checkable
class ArrayLike(Protocol):
    """A NumPy array or a PyTorch tensor."""

    @property
    def shape(self) -> Sequence[int]:
        """The size of each axis."""
        ...


StateDict = Mapping[str, ArrayLike]
Shapes = Mapping[str, tuple[int, ...]]
Order = Int[np.ndarray, "_"] | None

# Wrappers that PyTorch inserts at any depth: compilation, sharding, checkpointing of activations.
INSERTED = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


class Entry(NamedTuple):
    """One array of a model on both sides, and how its layout changes between them."""

    name: str
    """The name in the state dict."""
    path: tuple[str, ...]
    """The keys in the variables: collection, module, leaf."""
    axes: tuple[int, ...]
    """PyTorch's axes, in Flax's order."""
    orders: tuple[Order, ...] = ()
    """For each of Flax's axes: PyTorch's position of each of its positions; None if the same."""
    channel_sizes: tuple[int, ...] = ()
    """For each of Flax's axes: its growth with each channel that the images have."""

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether an array of this shape in Flax can be the entry's."""
        return len(shape) == len(self.axes) and all(
            order is None or len(order) == size
            for order, size in zip(self.orders, shape, strict=False)
        )

    def torch_shape(self, shape: tuple[int, ...], more_channels: int = 0) -> tuple[int, ...]:
        """The shape in PyTorch of an array of `shape` in Flax, for images of more channels."""
        sizes = list(shape)
        for axis, channel_size in enumerate(self.channel_sizes):
            sizes[axis] += more_channels * channel_size
        return tuple(sizes[axis] for axis in np.argsort(self.axes))

    def to_flax(self, array: np.ndarray) -> np.ndarray:
        """PyTorch's array in Flax's layout."""
        array = array.transpose(self.axes)
        for axis, order in enumerate(self.orders):
            array = array if order is None else array.take(order, axis)
        return array

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Flax's array in PyTorch's layout."""
        for axis, order in enumerate(self.orders):
            array = array if order is None else array.take(np.argsort(order), axis)
        return np.ascontiguousarray(array.transpose(np.argsort(self.axes)))


def linear(
    name: str,
    module: str,
    *,
    inputs: Order = None,
    outputs: Order = None,
    channel_sizes: tuple[int, int] = (0, 0),
) -> Iterator[Entry]:
    """`nn.Linear` and `nn.Dense`; `channel_sizes` are those of inputs and outputs."""
    kernel, bias = ("params", module, "kernel"), ("params", module, "bias")
    yield Entry(f"{name}.weight", kernel, (1, 0), (inputs, outputs), channel_sizes)
    yield Entry(f"{name}.bias", bias, (0,), (outputs,), channel_sizes[1:])


def convolution(
    name: str, module: str, *, channel_sizes: tuple[int, int] = (0, 0)
) -> Iterator[Entry]:
    """`nn.Conv2d` and `Conv`, or `nn.ConvTranspose2d` and `ConvTranspose`."""
    kernel, bias = ("params", module, "kernel"), ("params", module, "bias")
    yield Entry(f"{name}.weight", kernel, (2, 3, 1, 0), channel_sizes=(0, 0, *channel_sizes))
    yield Entry(f"{name}.bias", bias, (0,), channel_sizes=channel_sizes[1:])


def batch_norm(name: str, module: str) -> Iterator[Entry]:
    """`nn.BatchNorm1d` or `nn.BatchNorm2d` and Flax's `nn.BatchNorm`."""
    yield Entry(f"{name}.weight", ("params", module, "scale"), (0,))
    yield Entry(f"{name}.bias", ("params", module, "bias"), (0,))
    yield Entry(f"{name}.running_mean", ("batch_stats", module, "mean"), (0,))
    yield Entry(f"{name}.running_var", ("batch_stats", module, "var"), (0,))


def embedding(name: str, module: str) -> Iterator[Entry]:
    """`nn.Embedding` and `nn.Embed`."""
    yield Entry(f"{name}.weight", ("params", module, "embedding"), (0, 1))


def pixel_order(height: int, width: int, channels: int) -> Int[np.ndarray, "_"]:
    """PyTorch's position of each number of an image that is flattened as h, w, c."""
    positions = np.arange(channels * height * width)
    return positions.reshape(channels, height, width).transpose(1, 2, 0).ravel()


def unwrap(state_dict: StateDict, names: Collection[str]) -> dict[str, ArrayLike]:
    """The entries of the network that has these names, without the prefix of what wraps it.

    The prefix is the one under which most of the names are found; entries elsewhere belong to
    something else and are left out. Raises InputError if the network is there more than once.
    """
    entries = {INSERTED.sub("", name): value for name, value in state_dict.items()}
    if len(entries) < len(state_dict):  # compiled and not, side by side
        entries = dict(state_dict)
    prefixes = Counter(
        name[: len(name) - len(end)] for name in entries for end in _endings(name) if end in names
    )
    if not prefixes:
        return entries
    most = max(prefixes.values())
    prefix, *others = (prefix for prefix, count in prefixes.items() if count == most)
    if others and most == len(names):
        copies = " and ".join(f"{copy}*" for copy in sorted([prefix, *others]))
        raise InputError(f"The weights hold a network twice, as {copies}: save one of them alone.")
    return {
        name.removeprefix(prefix): value
        for name, value in entries.items()
        if name.startswith(prefix)
    }


def shapes_of(state_dict: StateDict) -> Shapes:
    """The shape of every entry."""
    return {name: tuple(value.shape) for name, value in state_dict.items()}


def output_widths(shapes: Shapes, pattern: str) -> tuple[int, ...]:
    """The output sizes of the layers whose weights' names match, in the order of their numbers.

    The pattern's group is the number. Norms, whose weights have one axis, do not count.
    """
    layers = {
        int(match[1]): shape[0]
        for name, shape in shapes.items()
        if len(shape) > 1 and (match := re.fullmatch(pattern, name))
    }
    return tuple(layers[number] for number in sorted(layers))


def square_image_shape(size: int, channels: tuple[int, ...] = (1, 3)) -> tuple[int, int, int]:
    """Height, width and channels of a square image of `size` numbers.

    Raises InputError if there is none with one of these numbers of channels.
    """
    for num in channels:
        side = math.isqrt(max(0, size) // num)
        if 0 < side * side * num == size:
            return side, side, num
    numbers = " or ".join(map(str, channels))
    raise InputError(f"{size} values are not a square image of {numbers} channels.")


def unknown_names(state_dict: StateDict, networks: str) -> InputError:
    """The error that these are not the weights of the networks of a family."""
    first, more = sorted(state_dict)[:4], ", ..." if len(state_dict) > 4 else ""
    return InputError(
        f"These are not the weights of {networks}: their names are {', '.join(first)}{more}"
    )


def _endings(name: str) -> Iterator[str]:
    """The name without each of its dotted prefixes: a.b.c, b.c, c."""
    while name:
        yield name
        name = name.partition(".")[2]
