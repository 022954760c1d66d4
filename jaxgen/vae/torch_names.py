"""The parameter names of the VAEs in the course's PyTorch classes and in PyTorch-VAE."""

from collections.abc import Iterator

from jaxgen.torch_layers import (
    Entry,
    StateDict,
    batch_norm,
    convolution,
    linear,
    output_widths,
    pixel_order,
    shapes_of,
    square_image_shape,
    unknown_names,
    unwrap,
)
from jaxgen.vae.models import MLPVAE, ConvVAE


def model_for(state_dict: StateDict) -> ConvVAE | MLPVAE:
    """Infer the model of a state dict from its names and shapes.

    Images are assumed to be square and, for an MLP, to have one or three channels. Raises
    InputError if the sizes contradict this, or if the names are not those of a VAE.
    """
    shapes = shapes_of(unwrap(state_dict, ["fc_mu.weight"]))
    try:
        latent_dim, num_features = shapes["fc_mu.weight"][0], shapes["fc_mu.weight"][1]
        dims = output_widths(shapes, r"encoder\.(\d{1,9})\.0\.weight")
        first = shapes["encoder.0.0.weight"]
        if len(first) == 2:
            num_outputs = shapes["final_layer.0.weight"][0] // first[1]
            return MLPVAE(square_image_shape(first[1]), latent_dim, dims, max(1, num_outputs))
        num_outputs = shapes["final_layer.3.weight"][0] // first[1]
        side = square_image_shape(num_features, (dims[-1],))[0] << len(dims)
        return ConvVAE((side, side, first[1]), latent_dim, dims, max(1, num_outputs))
    except (KeyError, IndexError, ZeroDivisionError):
        raise unknown_names(state_dict, "a VAE (VanillaVAE, or the MLP)") from None


def entries(model: ConvVAE | MLPVAE) -> Iterator[Entry]:
    """Yield the entries of all arrays of a model."""
    match model:
        case ConvVAE():
            yield from _conv_vae(model)
        case MLPVAE():
            yield from _mlp_vae(model)


def _conv_vae(model: ConvVAE) -> Iterator[Entry]:
    num_layers = len(model.hidden_dims)
    for i in range(num_layers):
        channel_sizes = (1, 0) if i == 0 else (0, 0)
        yield from convolution(f"encoder.{i}.0", f"encoder_{i}", channel_sizes=channel_sizes)
        yield from batch_norm(f"encoder.{i}.1", f"encoder_norms_{i}")
    height, width, _ = model.image_shape
    order = pixel_order(height >> num_layers, width >> num_layers, model.hidden_dims[-1])
    yield from linear("fc_mu", "fc_mean", inputs=order)
    yield from linear("fc_var", "fc_logvar", inputs=order)
    yield from linear("decoder_input", "decoder_input", outputs=order)
    for i in range(num_layers):
        block = "final_layer" if i == num_layers - 1 else f"decoder.{i}"
        yield from convolution(f"{block}.0", f"decoder_{i}")
        yield from batch_norm(f"{block}.1", f"decoder_norms_{i}")
    yield from convolution("final_layer.3", "final", channel_sizes=(0, model.num_outputs))


def _mlp_vae(model: MLPVAE) -> Iterator[Entry]:
    height, width, channels = model.image_shape
    size, num_layers = height * width, len(model.hidden_dims)
    image = {"inputs": pixel_order(height, width, channels), "channel_sizes": (size, 0)}
    for i in range(num_layers):
        yield from linear(f"encoder.{i}.0", f"encoder_{i}", **(image if i == 0 else {}))
    yield from linear("fc_mu", "fc_mean")
    yield from linear("fc_var", "fc_logvar")
    for i in range(num_layers):
        yield from linear(f"decoder.{i}.0", f"decoder_{i}")
    outputs = pixel_order(height, width, channels * model.num_outputs)
    channel_sizes = (0, size * model.num_outputs)
    yield from linear("final_layer.0", "final", outputs=outputs, channel_sizes=channel_sizes)
