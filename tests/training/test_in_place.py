"""A training step on a CPU updates parameters and moments in place."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.gan import objectives as gan_objectives
from jaxgen.gan.learner import Hypers as GANHypers
from jaxgen.gan.learner import cgan
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.training import loop
from jaxgen.types import Batch
from jaxgen.vae import objectives as vae_objectives
from jaxgen.vae.learner import Hypers as VAEHypers
from jaxgen.vae.learner import vae
from jaxgen.vae.models import MLPVAE

SHAPE = (4, 4, 1)
# No other array has these sizes.
LEARNERS = {
    "vae": (vae(MLPVAE(SHAPE, 3, (37, 41)), vae_objectives.bernoulli()), VAEHypers()),
    "cgan": (
        cgan(
            Generator(SHAPE, 5, 10, (37, 41)),
            Discriminator(SHAPE, 10, (43, 47)),
            gan_objectives.least_squares(),
        ),
        GANHypers(),
    ),
}
GRADIENTS = {"10,10"}  # of the embeddings of labels, scattered to a copy of zeros


@pytest.fixture
def optimized():
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="about the compiler for CPUs")
@pytest.mark.usefixtures("optimized")
@pytest.mark.parametrize("name", LEARNERS)
def test_no_parameter_is_copied(name):
    learner, hypers = LEARNERS[name]
    keys = loop.split_run_key(jax.random.key(0))
    state = jax.eval_shape(learner.init, keys.init, hypers)
    data = Batch(jnp.zeros((20, *SHAPE), jnp.uint8), jnp.zeros(20, jnp.int32))
    rows = np.zeros((2, 8), np.int32)
    program = loop.trainer(learner.step).lower(state, data, rows, keys.step, np.int32(0)).compile()
    text = program.as_text()
    assert text is not None
    loop_bodies, _ = text.split("\nENTRY")  # which is left to copy its arguments
    copied = re.findall(r"= f32\[([\d,]+)\]\S* copy\(", loop_bodies)
    shapes = {",".join(map(str, leaf.shape)) for leaf in jax.tree.leaves(state) if leaf.ndim > 1}
    assert len(shapes) > 4
    assert not shapes.intersection(copied) - GRADIENTS
