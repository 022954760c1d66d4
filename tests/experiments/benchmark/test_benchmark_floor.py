"""The floor of a training step: counts of its work, and the machine's peak rates."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmark import floor
from experiments.benchmark.workloads import WORKLOADS, make_learner
from jaxgen.layers import Conv, ConvTranspose
from jaxgen.types import Batch


def xla_flops(f, *args) -> float:
    cost = jax.jit(f).lower(*args).cost_analysis()
    assert cost is not None
    return cost["flops"]


@pytest.mark.parametrize("size", [1, 2, 5, 8])
@pytest.mark.parametrize(
    "layer",
    [
        Conv(4, strides=(2, 2), use_bias=False, implementation="lax"),
        Conv(1, (5, 3), padding=((2, 2), (1, 1)), use_bias=False, implementation="lax"),
        ConvTranspose(4, use_bias=False, implementation="lax"),
    ],
)
def test_multiplications_of_a_convolution_are_those_that_xla_counts(layer, size):
    """XLA, too, counts only the taps that lie on a pixel."""
    x = jnp.ones((2, size, size + 1, 3))
    variables = jax.eval_shape(lambda: layer.init(jax.random.key(0), x))
    (found,), num_parameters = floor.layers(layer, x)
    assert num_parameters == sum(leaf.size for leaf in jax.tree.leaves(variables))
    assert 2 * found.macs == xla_flops(layer.apply, variables, x)


@pytest.mark.parametrize("name", ["conv-vae", "mlp-vae"])
def test_the_flops_of_a_step_are_most_of_those_that_xla_counts(name):
    """The rest is Adam, normalization, activations and noise."""
    workload = WORKLOADS[name]
    learner, hypers = make_learner(workload, "lax")
    key = jax.random.key(0)
    state = jax.eval_shape(lambda: learner.init(key, hypers))
    images = jnp.zeros((workload.batch_size, *workload.image_shape), jnp.uint8)
    labels = jnp.zeros(workload.batch_size, jnp.int32)
    whole = xla_flops(learner.step, state, Batch(images, labels), key)
    assert 0.95 * whole < floor.work(workload).flops < whole


def dense(*dims: int) -> list[int]:
    return [i * o for i, o in pairwise(dims)]


def test_the_work_of_the_mlp_vae_is_counted_by_hand():
    products = [*dense(1024, 512, 512, 32), 512 * 32, *dense(32, 512, 512, 1024)]
    num_parameters = sum(products) + 512 + 512 + 2 * 32 + 512 + 512 + 1024
    outputs = 128 * (512 + 512 + 2 * 32 + 512 + 512 + 1024)
    work = floor.work(WORKLOADS["mlp-vae"])
    assert work.flops == 2 * 128 * (3 * sum(products) - 1024 * 512)
    assert work.bytes == 4 * (7 * num_parameters + 2 * outputs)


def test_the_flops_of_the_cgan_are_counted_by_hand():
    """The discriminator sees the fakes forward and back, then learns from twice as many images."""
    generator = dense(110, 128, 256, 512, 1024, 1024)
    discriminator = dense(1034, 512, 512, 512, 1)
    macs = 3 * sum(generator) - generator[0] + 2 * sum(discriminator)
    macs += 2 * (3 * sum(discriminator) - discriminator[0])
    work = floor.work(WORKLOADS["cgan"])
    assert work.flops == 2 * 64 * macs
    assert work.bytes > 4 * 7 * (1_757_412 + 1_055_845)


def test_the_machine_s_rates_are_measured_on_what_they_say():
    rates = floor.rates(floor.Sizes(matrix=8, stream=16))
    for contender in rates.values():
        contender.run()
        contender.run()
    assert {name: contender.num_steps for name, contender in rates.items()} == {
        "flop": 2 * 8 * 8 * 8,
        "byte": 4 * (16 + 16 + 16),
    }
