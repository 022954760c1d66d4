"""Where PyTorch and Flax keep the same numbers: names and layouts of all arrays of each model.

PyTorch's kernels are [out, in] and [out, in, h, w] ([in, out, h, w] if transposed), and it flattens
images as c, h, w; Flax's are [in, out] and [h, w, in, out] ([h, w, out, in]), and images flatten as
h, w, c. The names are those of the course's classes.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from jaxgen.errors import InputError
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.vae.models import MLPVAE, ConvVAE

Model = ConvVAE | MLPVAE | Generator | Discriminator
StateDict = Mapping[str, Any]  # numpy arrays or tensors
Order = Int[np.ndarray, "n"] | None

PREFIXES = ("model.", "module.")  # of PyTorch Lightning, and of DataParallel


class Entry(NamedTuple):
    """One array on both sides, and how its layout changes between them."""

    name: str
    """In the state dict."""
    path: tuple[str, str, str]
    """In the variables: collection, module, leaf."""
    axes: tuple[int, ...]
    """PyTorch's axes, in Flax's order."""
    orders: tuple[Order, ...] = ()
    """For each of Flax's axes: the position in PyTorch of each of its positions, if it differs."""

    def torch_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape in PyTorch of an array that has `shape` in Flax."""
        return tuple(shape[axis] for axis in np.argsort(self.axes))

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


def model_for(state_dict: StateDict) -> Model:
    """The model that a state dict belongs to, by its names and shapes.

    Its images are taken to be square, and of one channel where the sizes leave that open. Raises
    InputError if it is none of the course's four.
    """
    shapes = {name: tuple(value.shape) for name, value in without_prefix(state_dict).items()}
    try:
        if "label_emb.weight" in shapes:
            dims = _widths(shapes, "model.", ".weight")
            num_classes = shapes["label_emb.weight"][0]
            image_shape = _image_shape(dims[-1])
            latent_dim = shapes["model.0.weight"][1] - num_classes
            return Generator(image_shape, latent_dim, num_classes, dims[:-1])
        if "label_embedding.weight" in shapes:
            dims = _widths(shapes, "model.", ".weight")
            num_classes = shapes["label_embedding.weight"][0]
            image_shape = _image_shape(shapes["model.0.weight"][1] - num_classes)
            return Discriminator(image_shape, num_classes, dims[:-1])
        latent_dim = shapes["fc_mu.weight"][0]
        dims = _widths(shapes, "encoder.", ".0.weight")
        first = shapes["encoder.0.0.weight"]
        if len(first) == 2:
            return MLPVAE(_image_shape(first[1]), latent_dim, dims)
        side = math.isqrt(shapes["fc_mu.weight"][1] // dims[-1]) << len(dims)
        return ConvVAE((side, side, first[1]), latent_dim, dims)
    except (KeyError, IndexError):
        raise InputError(
            "These are not the weights of one of the course's networks (VanillaVAE, the MLP VAE, "
            f"Generator or Discriminator): they are named {', '.join(sorted(shapes)[:4])}, ..."
        ) from None


def without_prefix(state_dict: StateDict) -> dict[str, Any]:
    """The entries under the names that their own class gave them."""
    names = list(state_dict)
    for prefix in PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            names = [name.removeprefix(prefix) for name in names]
    return dict(zip(names, state_dict.values(), strict=True))


def entries(model: Model) -> Iterator[Entry]:
    """All arrays of a model."""
    match model:
        case ConvVAE():
            yield from _conv_vae(model)
        case MLPVAE():
            yield from _mlp_vae(model)
        case Generator():
            yield from _embedding("label_emb", "Embed_0")
            num_blocks = len(model.hidden_dims)
            for i in range(num_blocks):
                yield from _linear(_gan_layer(i), f"Dense_{i}")
                if i > 0:
                    yield from _batch_norm(f"model.{3 * i}", f"BatchNorm_{i - 1}")
            pixels = _pixels(*model.image_shape)
            yield from _linear(_gan_layer(num_blocks), f"Dense_{num_blocks}", outputs=pixels)
        case Discriminator():
            yield from _embedding("label_embedding", "Embed_0")
            pixels = _pixels(*model.image_shape)
            inputs = np.concatenate([pixels, len(pixels) + np.arange(model.num_classes)])
            yield from _linear(_gan_layer(0), "JoinedDense_0", inputs)
            for i in range(len(model.hidden_dims)):
                yield from _linear(_gan_layer(i + 1), f"Dense_{i}")


def _gan_layer(index: int) -> str:
    """In the course's Sequential activations count, too, and from the second block on a norm."""
    return f"model.{max(0, 3 * index - 1)}"


def _conv_vae(model: ConvVAE) -> Iterator[Entry]:
    num_layers = len(model.hidden_dims)
    for i in range(num_layers):
        yield from _convolution(f"encoder.{i}.0", f"encoder_{i}")
        yield from _batch_norm(f"encoder.{i}.1", f"encoder_norms_{i}")
    height, width, _ = model.image_shape
    pixels = _pixels(height >> num_layers, width >> num_layers, model.hidden_dims[-1])
    yield from _linear("fc_mu", "fc_mean", inputs=pixels)
    yield from _linear("fc_var", "fc_logvar", inputs=pixels)
    yield from _linear("decoder_input", "decoder_input", outputs=pixels)
    for i in range(num_layers):
        block = "final_layer" if i == num_layers - 1 else f"decoder.{i}"
        yield from _convolution(f"{block}.0", f"decoder_{i}")
        yield from _batch_norm(f"{block}.1", f"decoder_norms_{i}")
    yield from _convolution("final_layer.3", "final")


def _mlp_vae(model: MLPVAE) -> Iterator[Entry]:
    height, width, channels = model.image_shape
    num_layers = len(model.hidden_dims)
    for i in range(num_layers):
        pixels = _pixels(height, width, channels) if i == 0 else None
        yield from _linear(f"encoder.{i}.0", f"encoder_{i}", inputs=pixels)
    yield from _linear("fc_mu", "fc_mean")
    yield from _linear("fc_var", "fc_logvar")
    for i in range(num_layers):
        yield from _linear(f"decoder.{i}.0", f"decoder_{i}")
    outputs = _pixels(height, width, channels * model.num_outputs)
    yield from _linear("final_layer.0", "final", outputs=outputs)


def _linear(name: str, module: str, inputs: Order = None, outputs: Order = None) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", ("params", module, "kernel"), (1, 0), (inputs, outputs))
    yield Entry(f"{name}.bias", ("params", module, "bias"), (0,), (outputs,))


def _convolution(name: str, module: str) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", ("params", module, "kernel"), (2, 3, 1, 0))
    yield Entry(f"{name}.bias", ("params", module, "bias"), (0,))


def _batch_norm(name: str, module: str) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", ("params", module, "scale"), (0,))
    yield Entry(f"{name}.bias", ("params", module, "bias"), (0,))
    yield Entry(f"{name}.running_mean", ("batch_stats", module, "mean"), (0,))
    yield Entry(f"{name}.running_var", ("batch_stats", module, "var"), (0,))


def _embedding(name: str, module: str) -> Iterator[Entry]:
    yield Entry(f"{name}.weight", ("params", module, "embedding"), (0, 1))


def _pixels(height: int, width: int, channels: int) -> Int[np.ndarray, "n"]:
    """Where PyTorch keeps each number of an image that is flattened as h, w, c."""
    places = np.arange(channels * height * width)
    return places.reshape(channels, height, width).transpose(1, 2, 0).ravel()


def _widths(shapes: Mapping[str, tuple[int, ...]], start: str, end: str) -> tuple[int, ...]:
    """Output sizes of the layers of one Sequential, in their order; norms have no inputs."""
    layers = {
        int(name.removeprefix(start).removesuffix(end)): shape[0]
        for name, shape in shapes.items()
        if name.startswith(start) and name.endswith(end) and len(shape) > 1
    }
    return tuple(layers[position] for position in sorted(layers))


def _image_shape(size: int) -> tuple[int, int, int]:
    for channels in (1, 3):
        side = math.isqrt(size // channels)
        if side * side * channels == size:
            return side, side, channels
    raise InputError(f"{size} values are no square image of one or three channels.")
