"""Names and memory layouts of layers in PyTorch and in Flax.

PyTorch's kernels are [out, in] and [out, in, h, w] ([in, out, h, w] if transposed), and its images
flatten as c, h, w. Flax's kernels are [in, out] and [h, w, in, out] ([h, w, out, in]), and its
images flatten as h, w, c. The table of a model's names is an iterator of entries, composed of those
of its layers.
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
Order = Int[np.ndarray, "_"] | None  # a permutation; None: the identity

# Prefixes that PyTorch's compilation, sharding and activation checkpointing insert at any depth.
WRAPPERS = re.compile(r"\b(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


class Entry(NamedTuple):
    """One array of a model: its names in PyTorch and in Flax, and their layouts."""

    name: str
    """The name in the state dict."""
    path: tuple[str, ...]
    """The keys in the variables: collection, module, leaf."""
    axes: tuple[int, ...]
    """PyTorch's axes, in Flax's order."""
    orders: tuple[Order, ...] = ()
    """For each of Flax's axes: the index in PyTorch of each of its elements; None if equal."""
    channel_sizes: tuple[int, ...] = ()
    """For each of Flax's axes: the number of elements that one more image channel adds."""

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether a Flax array of this shape can belong to the entry."""
        return len(shape) == len(self.axes) and all(
            order is None or len(order) == size
            for order, size in zip(self.orders, shape, strict=False)
        )

    def torch_shape(self, shape: tuple[int, ...], more_channels: int = 0) -> tuple[int, ...]:
        """Return the PyTorch shape of a Flax array, if images had `more_channels` more channels."""
        sizes = list(shape)
        for axis, channel_size in enumerate(self.channel_sizes):
            sizes[axis] += more_channels * channel_size
        return tuple(sizes[axis] for axis in np.argsort(self.axes))

    def to_flax(self, array: np.ndarray) -> np.ndarray:
        """Convert an array from PyTorch's layout to Flax's."""
        array = array.transpose(self.axes)
        for axis, order in enumerate(self.orders):
            array = array if order is None else array.take(order, axis)
        return array

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Convert an array from Flax's layout to PyTorch's."""
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
    """Yield the entries of PyTorch's `nn.Linear` and Flax's `nn.Dense`.

    `inputs` and `outputs` permute its units, and `channel_sizes` is (of inputs, of outputs).
    """
    kernel, bias = ("params", module, "kernel"), ("params", module, "bias")
    yield Entry(f"{name}.weight", kernel, (1, 0), (inputs, outputs), channel_sizes)
    yield Entry(f"{name}.bias", bias, (0,), (outputs,), channel_sizes[1:])


def convolution(
    name: str, module: str, *, channel_sizes: tuple[int, int] = (0, 0)
) -> Iterator[Entry]:
    """Yield the entries of `nn.Conv2d` and `Conv`, or of their transposed counterparts."""
    kernel, bias = ("params", module, "kernel"), ("params", module, "bias")
    yield Entry(f"{name}.weight", kernel, (2, 3, 1, 0), channel_sizes=(0, 0, *channel_sizes))
    yield Entry(f"{name}.bias", bias, (0,), channel_sizes=channel_sizes[1:])


def batch_norm(name: str, module: str) -> Iterator[Entry]:
    """Yield the entries of PyTorch's `nn.BatchNorm1d` or `2d` and Flax's `nn.BatchNorm`."""
    yield Entry(f"{name}.weight", ("params", module, "scale"), (0,))
    yield Entry(f"{name}.bias", ("params", module, "bias"), (0,))
    yield Entry(f"{name}.running_mean", ("batch_stats", module, "mean"), (0,))
    yield Entry(f"{name}.running_var", ("batch_stats", module, "var"), (0,))


def embedding(name: str, module: str) -> Iterator[Entry]:
    """Yield the entry of PyTorch's `nn.Embedding` and Flax's `nn.Embed`."""
    yield Entry(f"{name}.weight", ("params", module, "embedding"), (0, 1))


def pixel_order(height: int, width: int, channels: int) -> Int[np.ndarray, "_"]:
    """Return PyTorch's flat index of each value of an image that is flattened as h, w, c."""
    positions = np.arange(channels * height * width)
    return positions.reshape(channels, height, width).transpose(1, 2, 0).ravel()


def unwrap(state_dict: StateDict, names: Collection[str]) -> dict[str, ArrayLike]:
    """Select the entries of the network that has these names, without the prefix of a wrapper.

    The prefix is that under which most of the names are found; entries without it do not belong to
    the network and are dropped. Raises InputError if the network occurs more than once.
    """
    entries = {WRAPPERS.sub("", name): value for name, value in state_dict.items()}
    if len(entries) < len(state_dict):  # a network beside its compiled copy
        entries = dict(state_dict)
    prefixes = Counter(
        name[: len(name) - len(end)] for name in entries for end in _suffixes(name) if end in names
    )
    if not prefixes:
        return entries
    most = max(prefixes.values())
    prefix, *others = (prefix for prefix, count in prefixes.items() if count == most)
    if others and most == len(names):
        copies = " and ".join(f"{copy}*" for copy in sorted([prefix, *others]))
        raise InputError(f"The weights contain the network twice, as {copies}: save only one.")
    return {
        name.removeprefix(prefix): value
        for name, value in entries.items()
        if name.startswith(prefix)
    }


def shapes_of(state_dict: StateDict) -> Shapes:
    """Return the shape of every entry."""
    return {name: tuple(value.shape) for name, value in state_dict.items()}


def output_widths(shapes: Shapes, pattern: str) -> tuple[int, ...]:
    """Return the output sizes of the layers whose weights match a pattern, in numerical order.

    The group of the pattern is the number. Norms, whose weights have one axis, are skipped.
    """
    layers = {
        int(match[1]): shape[0]
        for name, shape in shapes.items()
        if len(shape) > 1 and (match := re.fullmatch(pattern, name))
    }
    return tuple(layers[number] for number in sorted(layers))


def square_image_shape(size: int, channels: tuple[int, ...] = (1, 3)) -> tuple[int, int, int]:
    """Return height, width and channels of the square image that has `size` values.

    Raises InputError if there is none with one of these numbers of channels.
    """
    for num_channels in channels:
        side = math.isqrt(max(0, size) // num_channels)
        if 0 < side * side * num_channels == size:
            return side, side, num_channels
    numbers = " or ".join(map(str, channels))
    raise InputError(
        f"{size} values are not a square image of {numbers} channels: use weights of a model for "
        "such images."
    )


def unknown_names(state_dict: StateDict, networks: str) -> InputError:
    """Return the error for a state dict whose names are not those of the given networks."""
    names, num_more = sorted(state_dict)[:4], len(state_dict) - 4
    more = f" and {num_more} more" if num_more > 0 else ""
    return InputError(
        f"These are not the weights of {networks}: their names are {', '.join(names)}{more}."
    )


def _suffixes(name: str) -> Iterator[str]:
    """Yield the suffixes of a dotted name: of a.b.c, these are a.b.c, b.c and c."""
    while name:
        yield name
        name = name.partition(".")[2]
