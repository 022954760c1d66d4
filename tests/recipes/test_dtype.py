"""Every recipe multiplies in bfloat16 on request; everything else remains float32."""

import re

import jax
import jax.numpy as jnp
import pytest

from jaxgen.recipes import cgan, vae
from jaxgen.recipes.recipe import Facts
from jaxgen.types import Batch

FACTS = Facts("toy", (8, 8, 1), ("a", "b"), 20, "", 2, 2)
BATCH = Batch(jnp.full((4, 8, 8, 1), 200, jnp.uint8), jnp.array([0, 1, 0, 1], jnp.int32))
GAN_DIMS = {"generator_dims": (8, 4), "discriminator_dims": (4, 8), "latent_dim": 3}
RECIPES = {
    "conv VAE": (vae, {"model": "conv", "hidden_dims": (4, 8), "latent_dim": 3}),
    "MLP VAE": (vae, {"model": "mlp", "hidden_dims": (8,), "latent_dim": 3}),
    "conv cGAN": (cgan, {"model": "conv", **GAN_DIMS}),
    "MLP cGAN": (cgan, {"model": "mlp", **GAN_DIMS}),
}


@pytest.mark.parametrize(
    ("name", "options", "product"),
    [
        *((name, {"dtype": "bfloat16"}, "bf16") for name in RECIPES),
        ("MLP VAE", {}, "f32"),
    ],
)
def test_products_have_the_type_and_all_that_is_kept_is_float32(name, options, product):
    recipe, sizes = RECIPES[name]
    learner = recipe.build(recipe.Config(**options, **sizes), FACTS).learner
    hypers = recipe.RECIPE.hypers(recipe.Config())
    key = jax.random.key(0)
    state = jax.eval_shape(learner.init, key, hypers)
    lowered = jax.jit(learner.step).lower(state, BATCH, key)
    products = [line for line in lowered.as_text().splitlines() if "dot_general" in line]
    types = [line.partition(" : ")[2].partition("->")[0] for line in products]
    factors = [set(re.findall(r"x(b?f\d+)>", factors)) for factors in types]
    assert len(factors) >= 6
    assert set.union(*factors) == {product}
    kept = [leaf.dtype for leaf in jax.tree.leaves((state, lowered.out_info))]
    assert {kind for kind in kept if jnp.issubdtype(kind, jnp.floating)} == {jnp.dtype("float32")}
