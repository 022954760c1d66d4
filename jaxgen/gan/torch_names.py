"""The parameter names of the cGAN in the course's PyTorch classes and in PyTorch-GAN."""

from collections.abc import Iterator

import numpy as np

from jaxgen.errors import require_positive
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.torch_layers import (
    Entry,
    StateDict,
    batch_norm,
    embedding,
    linear,
    output_widths,
    pixel_order,
    shapes_of,
    square_image_shape,
    unknown_names,
    unwrap,
)

WEIGHTS = r"model\.(\d{1,9})\.weight"


def model_for(state_dict: StateDict) -> Generator | Discriminator:
    """Infer the network of a state dict from its names and shapes.

    Images are assumed to be square and to have one or three channels. Raises InputError if the
    sizes contradict this, or if the names are not those of a cGAN.
    """
    generator = shapes_of(unwrap(state_dict, ["label_emb.weight"]))
    discriminator = shapes_of(unwrap(state_dict, ["label_embedding.weight"]))
    try:
        if "label_emb.weight" in generator:
            num_classes = generator["label_emb.weight"][0]
            latent_dim = generator["model.0.weight"][1] - num_classes
            require_positive(latent_dim=latent_dim)
            dims = output_widths(generator, WEIGHTS)
            return Generator(square_image_shape(dims[-1]), latent_dim, num_classes, dims[:-1])
        num_classes = discriminator["label_embedding.weight"][0]
        size = discriminator["model.0.weight"][1] - num_classes
        dims = output_widths(discriminator, WEIGHTS)
        return Discriminator(square_image_shape(size), num_classes, dims[:-1])
    except (KeyError, IndexError):
        raise unknown_names(state_dict, "a cGAN (Generator or Discriminator)") from None


def entries(model: Generator | Discriminator) -> Iterator[Entry]:
    """Yield the entries of all arrays of a network."""
    match model:
        case Generator():
            yield from _generator(model)
        case Discriminator():
            yield from _discriminator(model)


def _generator(model: Generator) -> Iterator[Entry]:
    yield from embedding("label_emb", "Embed_0")
    num_blocks = len(model.hidden_dims)
    for i in range(num_blocks):
        yield from linear(_layer(i), f"Dense_{i}")
        if i > 0:
            yield from batch_norm(f"model.{3 * i}", f"BatchNorm_{i - 1}")
    height, width, _ = model.image_shape
    yield from linear(
        _layer(num_blocks),
        f"Dense_{num_blocks}",
        outputs=pixel_order(*model.image_shape),
        channel_sizes=(0, height * width),
    )


def _discriminator(model: Discriminator) -> Iterator[Entry]:
    yield from embedding("label_embedding", "Embed_0")
    height, width, _ = model.image_shape
    pixels = pixel_order(*model.image_shape)
    inputs = np.concatenate([pixels, len(pixels) + np.arange(model.num_classes)])
    channel_sizes = (height * width, 0)
    yield from linear(_layer(0), "JoinedDense_0", inputs=inputs, channel_sizes=channel_sizes)
    for i in range(len(model.hidden_dims)):
        yield from linear(_layer(i + 1), f"Dense_{i}")


def _layer(index: int) -> str:
    """Return the name of a linear layer; PyTorch's Sequential also counts activations and norms."""
    return f"model.{max(0, 3 * index - 1)}"
