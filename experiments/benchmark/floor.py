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
from jaxgen.convolution import Axis
from jaxgen.gan.models import Discriminator, Generator, JoinedDense
from jaxgen.layers import Conv, ConvTranspose
from jaxgen.vae.models import MLPVAE, ConvVAE

FLOAT = 4  # bytes


class Sizes(NamedTuple):
    """The sizes of the arrays on which the peak rates are measured."""

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
    shape, num = workload.image_shape, workload.batch_size
    if workload.model == "cGAN":
        return _cgan_work(Generator(shape), Discriminator(shape), num)
    model = MLPVAE(shape) if workload.model == "MLP VAE" else ConvVAE(shape)
    images, key = jnp.zeros((num, *shape)), jax.random.key(0)
    found, num_parameters = layers(model, images, key, train=True)
    macs = 3 * _macs(found) - found[0].macs
    return Work(2 * macs, FLOAT * (7 * num_parameters + 2 * _outputs(found)))


def _cgan_work(generator: Generator, discriminator: Discriminator, num: int) -> Work:
    """The generator's update runs the discriminator forward, and back to its input only.

    The discriminator's own update sees as many real images as fakes.
    """
    noise, labels = jnp.zeros((num, generator.latent_dim)), jnp.zeros(num, jnp.int32)
    images = jnp.zeros((num, *generator.image_shape))
    g, num_g = layers(generator, noise, labels, train=False)
    d, num_d = layers(discriminator, images, labels, train=False)
    macs = 3 * _macs(g) - g[0].macs + 2 * _macs(d) + 2 * (3 * _macs(d) - d[0].macs)
    return Work(2 * macs, FLOAT * (7 * (num_g + num_d) + 2 * (_outputs(g) + 3 * _outputs(d))))


def layers(model: nn.Module, *inputs: Any, **options: Any) -> tuple[list[Layer], int]:
    """The products of a model in the order of its forward pass, and its number of parameters."""
    found = []

    def record(call, args, kwargs, context):
        y = call(*args, **kwargs)
        if isinstance(context.module, nn.Dense | JoinedDense | Conv | ConvTranspose):
            x = (*args[0].shape[:-1], sum(arg.shape[-1] for arg in args))
            found.append(Layer(_layer_macs(context.module, x, y.shape), y.size))
        return y

    with nn.intercept_methods(record):
        key = jax.random.key(0)
        variables = jax.eval_shape(lambda: model.init(key, *inputs, **options))
    return found, sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def _layer_macs(layer: nn.Module, x: tuple[int, ...], y: tuple[int, ...]) -> int:
    """Multiply-adds: one for each pair of channels wherever a tap of the kernel meets a pixel."""
    pairs = x[-1] * y[-1]
    if isinstance(layer, nn.Dense | JoinedDense):
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
    return x[0] * pairs * math.prod(_meetings(axis) for axis in axes)


def _meetings(axis: Axis) -> int:
    """The number of (step, tap) pairs that lie on a pixel rather than on padding."""
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
    """Contenders for the peak rates, whose steps are floating-point operations and bytes."""
    sizes = sizes or (CPU_SIZES if jax.default_backend() == "cpu" else ACCELERATOR_SIZES)
    return {"flop": matrix_product(sizes.matrix), "byte": stream(sizes.stream)}


def matrix_product(size: int) -> Contender:
    """A float32 product of square matrices, at the default precision of the backend."""
    x = jax.random.normal(jax.random.key(0), (size, size))
    multiply = jax.jit(jnp.matmul)
    return Contender(lambda: jax.block_until_ready(multiply(x, x)), 2 * size**3)


def stream(size: int) -> Contender:
    """y = x / 2 + y, which reads two arrays and writes one."""
    x, y = jnp.ones(size), jnp.ones(size)
    add = jax.jit(lambda x, y: 0.5 * x + y, donate_argnums=1)

    def run() -> None:
        nonlocal y
        y = jax.block_until_ready(add(x, y))

    return Contender(run, 3 * FLOAT * size)
