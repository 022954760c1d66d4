"""The examples of docs/networks.md run as they stand, on fewer digits."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgen.data import builtin
from jaxgen.recipes.recipe import Facts, Recipe

DOCUMENT = Path(__file__).parent.parent / "docs" / "networks.md"


@cache
def run_examples():
    """The names that the examples define, one after the other."""
    names, read = {}, builtin.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "read", lambda split: tuple(array[::5] for array in read(split)))
        for code in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL):
            exec(code, names)
            names["first"] = names.get("first", names["metrics"])
    return names


def num_lines(*classes):
    """The number of lines of classes in the document, without empty ones."""
    code = "".join(
        re.search(rf"class {name}\(.*?\n\n\n", DOCUMENT.read_text(), re.DOTALL)[0]  # pyright: ignore
        for name in classes
    )
    return len([line for line in code.splitlines() if line.strip()])


def test_the_examples_train():
    names = run_examples()
    bounds = names["first"]["negative_elbo_nats"]
    assert bounds.shape == (2, 8)
    assert bounds[1].mean() < 400  # an untrained model is at 700
    assert names["images"].shape == (20, 32, 32, 1)
    assert all(np.isfinite(values).all() for values in names["metrics"].values())


def test_the_examples_are_short():
    assert num_lines("Residual", "ResidualVAE") <= 25
    assert num_lines("DCGenerator", "DCDiscriminator") <= 30


def test_the_recipe_builds_a_task_with_the_own_network():
    recipe = run_examples()["RECIPE"]
    assert isinstance(recipe, Recipe)
    facts = Facts("toy", (8, 8, 1), ("a",), 20, "", 2, 2)
    learner = recipe.build(recipe.config(latent_dim=3), facts).learner
    state = jax.eval_shape(learner.init, jax.random.key(0), recipe.hypers(recipe.config()))
    assert state.network.params["moments"]["bias"].shape == (6,)


def test_what_is_passed_by_mistake_is_explained_to_a_user():
    """In a process of its own, without the type checks of the tests."""
    program = """
import optax
from jaxgen import InputError
from jaxgen.gan import Discriminator, Generator, cgan, hinge
from jaxgen.vae import MLPVAE, bernoulli, vae

for mistake in (
    lambda: vae(MLPVAE(), bernoulli(), optimizer=optax.adam(1e-3)),
    lambda: cgan(Generator(), Discriminator(), hinge(), optimizer=optax.adam(1e-3)),
    lambda: vae(Generator(), bernoulli()),
    lambda: cgan(MLPVAE(), Discriminator(), hinge()),
    lambda: vae(MLPVAE, bernoulli()),
    lambda: vae(MLPVAE(), bernoulli(), optimizer=None),
    lambda: vae(MLPVAE(), bernoulli(), optimizer=lambda: optax.adam(1e-3)),
    lambda: vae(MLPVAE(), bernoulli(), optimizer=optax.cosine_decay_schedule(1e-3, 10)),
    lambda: vae(MLPVAE(), bernoulli(), optimizer=optax.MultiSteps(optax.adam(1e-3), 2)),
):
    try:
        mistake()
    except InputError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0] == lines[1]
    assert "instead of optax.adam(1e-3), pass optax.adam or, with further" in lines[0]
    assert lines[2].startswith("Generator has no encode, decode: see jaxgen.vae.models.Encod")
    assert lines[3].startswith("MLPVAE has no num_classes: see jaxgen.gan.models.GeneratorN")
    assert "is not an instance of a Flax module" in lines[4]
    assert lines[5:] == 4 * lines[:1]
