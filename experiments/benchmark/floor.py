"""The floor: the time of a step's arithmetic and memory traffic at the machine's peak rates.

Both are counted from the shapes of the layers. The peak rates are measured on a large matrix
product and on a stream through memory.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from experiments.benchmark.timing import Contender
from experiments.benchmark.workloads import Workload
from jaxgen.gan.models import Discriminator, Generator, JoinedDense
from jaxgen.layers import Conv, ConvTranspose, Dense
from jaxgen.vae.models import MLPVAE, ConvVAE
from jaxgen.windows import Axis

FLOAT_BYTES = 4


class Sizes(NamedTuple):
    """The sizes of the arrays with which the peak rates are measured."""

    matrix: int  # rows and columns
    stream: int  # floats, many times the size of the caches


CPU_SIZES, ACCELERATOR_SIZES = Sizes(2048, 2**25), Sizes(8192, 2**29)


class Layer(NamedTuple):
    """One matrix product or convolution of a forward pass."""

    macs: int  # multiply-adds
    outputs: int


class Work(NamedTuple):
    """The arithmetic and the memory traffic of a training step."""

    flops: int
    bytes: int


def work(workload: Workload) -> Work:
    """Count the work of one training step.

    Each layer multiplies three times: forward, for the gradient of its weights and for that of its
    input, except that the first layer needs no gradient of its input. Adam reads the gradients, and
    reads and writes the parameters and both moments. Each activation is written and read once.
    """
    shape, batch_size = workload.image_shape, workload.batch_size
    if workload.model == "cGAN":
        return _cgan_work(Generator(shape), Discriminator(shape), batch_size)
    model = MLPVAE(shape) if workload.model == "MLP VAE" else ConvVAE(shape)
    images, key = jnp.zeros((batch_size, *shape)), jax.random.key(0)
    found, num_parameters = layers(model, images, key, train=True)
    macs = 3 * _macs(found) - found[0].macs
    return Work(2 * macs, FLOAT_BYTES * (7 * num_parameters + 2 * _outputs(found)))


def _cgan_work(generator: Generator, discriminator: Discriminator, batch_size: int) -> Work:
    """Count the work of one training step of a cGAN.

    The generator's update runs the discriminator forward, and backward only to its input. The
    discriminator's own update sees as many real images as fakes.
    """
    noise = jnp.zeros((batch_size, generator.latent_dim))
    labels = jnp.zeros(batch_size, jnp.int32)
    images = jnp.zeros((batch_size, *generator.image_shape))
    g, num_g = layers(generator, noise, labels, train=False)
    d, num_d = layers(discriminator, images, labels, train=False)
    macs = 3 * _macs(g) - g[0].macs + 2 * _macs(d) + 2 * (3 * _macs(d) - d[0].macs)
    num_floats = 7 * (num_g + num_d) + 2 * (_outputs(g) + 3 * _outputs(d))
    return Work(2 * macs, FLOAT_BYTES * num_floats)


def layers(model: nn.Module, *inputs: Any, **options: Any) -> tuple[list[Layer], int]:
    """List the products of a model in the order of its forward pass, and count its parameters."""
    found = []

    def record(call, args, kwargs, context):
        y = call(*args, **kwargs)
        if isinstance(context.module, Dense | JoinedDense | Conv | ConvTranspose):
            x = (*args[0].shape[:-1], sum(arg.shape[-1] for arg in args))
            found.append(Layer(_layer_macs(context.module, x, y.shape), y.size))
        return y

    with nn.intercept_methods(record):
        key = jax.random.key(0)
        variables = jax.eval_shape(lambda: model.init(key, *inputs, **options))
    return found, sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def _layer_macs(layer: nn.Module, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Count one multiply-add per pair of channels wherever a tap of the kernel is on a pixel."""
    pairs = x[-1] * y[-1]
    if isinstance(layer, Dense | JoinedDense):
        return math.prod(x[:-1]) * pairs
    assert isinstance(layer, Conv | ConvTranspose)
    sides = zip(x[1:3], y[1:3], layer.kernel_size, layer.strides, layer.padding, strict=True)
    if isinstance(layer, Conv):
        axes = [
            Axis(size, steps, taps, stride, low) for size, steps, taps, stride, (low, _) in sides
        ]
    else:
        axes = [
            Axis(size, steps, taps, stride, taps - 1 - low)
            for steps, size, taps, stride, (low, _) in sides
        ]
    return x[0] * pairs * math.prod(_num_overlaps(axis) for axis in axes)


def _num_overlaps(axis: Axis) -> int:
    """Count the pairs of step and tap that lie on a pixel rather than on padding."""
    return sum(
        0 <= axis.stride * step + tap - axis.low < axis.size
        for step in range(axis.steps)
        for tap in range(axis.taps)
    )


def _macs(found: list[Layer]) -> int:
    return sum(layer.macs for layer in found)


def _outputs(found: list[Layer]) -> int:
    return sum(layer.outputs for layer in found)


def rates(sizes: Sizes | None = None) -> dict[str, Contender]:
    """Build contenders for the peak rates, whose steps are floating-point operations and bytes."""
    sizes = sizes or (CPU_SIZES if jax.default_backend() == "cpu" else ACCELERATOR_SIZES)
    return {"flop": matrix_product(sizes.matrix), "byte": stream(sizes.stream)}


def matrix_product(size: int) -> Contender:
    """Build a contender that multiplies float32 matrices at the backend's default precision."""
    x = jax.random.normal(jax.random.key(0), (size, size))
    multiply = jax.jit(jnp.matmul)
    return Contender(lambda: jax.block_until_ready(multiply(x, x)), 2 * size**3)


def stream(size: int) -> Contender:
    """Build a contender that computes y = x / 2 + y: it reads two arrays and writes one."""
    x, y = jnp.ones(size), jnp.ones(size)
    add = jax.jit(lambda x, y: 0.5 * x + y, donate_argnums=1)

    def run() -> None:
        nonlocal y
        y = jax.block_until_ready(add(x, y))

    return Contender(run, 3 * FLOAT_BYTES * size)
