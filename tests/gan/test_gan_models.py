from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.gan.models import Discriminator, Generator

KEY = jax.random.key(0)
SIZES = [
    ((32, 32, 1), 100, 10),
    ((8, 6, 3), 7, 4),
]


def init(model, num: int = 1):
    if isinstance(model, Generator):
        inputs = generator_inputs(model, num)
    else:
        inputs = discriminator_inputs(model, num)
    return jax.jit(partial(model.init, train=False))(KEY, *inputs)


def num_params(params) -> int:
    return sum(x.size for x in jax.tree.leaves(params))


def generator_inputs(generator: Generator, num: int):
    noise = np.random.default_rng(1).normal(size=(num, generator.latent_dim))
    return jnp.float32(noise), jnp.asarray(np.arange(num) % generator.num_classes)


def discriminator_inputs(discriminator: Discriminator, num: int):
    images = np.random.default_rng(2).uniform(-1, 1, size=(num, *discriminator.image_shape))
    return jnp.float32(images), jnp.asarray(np.arange(num) % discriminator.num_classes)


def randomized(variables):
    """Biases, scales and running averages away from their initial zeros and ones."""
    rng = np.random.default_rng(3)
    return jax.tree.map(lambda x: x + jnp.float32(rng.uniform(0, 0.2, x.shape)), variables)


def float64(variables):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), variables)


def leaky_relu(x):
    return np.where(x > 0, x, 0.2 * x)


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


@pytest.mark.parametrize(("image_shape", "latent_dim", "num_classes"), SIZES)
def test_generator_parameter_count(image_shape, latent_dim, num_classes):
    generator = Generator(image_shape, latent_dim, num_classes)
    variables = jax.eval_shape(lambda: init(generator))
    dims = [latent_dim + num_classes, 128, 256, 512, 1024, np.prod(image_shape)]
    linear = sum((i + 1) * o for i, o in pairwise(dims))
    norms = 256 + 512 + 1024
    assert num_params(variables["params"]) == num_classes**2 + linear + 2 * norms
    assert num_params(variables["batch_stats"]) == 2 * norms


@pytest.mark.parametrize(("image_shape", "latent_dim", "num_classes"), SIZES)
def test_discriminator_parameter_count(image_shape, latent_dim, num_classes):
    discriminator = Discriminator(image_shape, num_classes)
    variables = jax.eval_shape(lambda: init(discriminator))
    dims = [np.prod(image_shape) + num_classes, 512, 512, 512, 1]
    linear = sum((i + 1) * o for i, o in pairwise(dims))
    assert num_params(variables["params"]) == num_classes**2 + linear
    assert "batch_stats" not in variables


def test_the_course_s_sizes():
    generator = jax.eval_shape(lambda: init(Generator()))
    discriminator = jax.eval_shape(lambda: init(Discriminator()))
    assert num_params(generator["params"]) == 1_757_412
    assert num_params(discriminator["params"]) == 1_055_845


@pytest.mark.parametrize("train", [True, False])
def test_generator_is_the_formula(train):
    generator = Generator((4, 4, 2), latent_dim=5, num_classes=3, hidden_dims=(8, 16, 12))
    noise, labels = generator_inputs(generator, 9)
    variables = randomized(init(generator))
    apply = jax.jit(partial(generator.apply, train=train, mutable=["batch_stats"]))
    images, updates = apply(variables, noise, labels)

    p, stats = float64(variables["params"]), float64(variables["batch_stats"])
    x = np.concatenate([p["Embed_0"]["embedding"][labels], np.float64(noise)], axis=1)
    x = leaky_relu(dense(p["Dense_0"], x))
    for i in (0, 1):
        x = dense(p[f"Dense_{i + 1}"], x)
        old = stats[f"BatchNorm_{i}"]
        mean, var = (x.mean(0), x.var(0)) if train else (old["mean"], old["var"])
        new = updates["batch_stats"][f"BatchNorm_{i}"]
        kept = 0.9 if train else 1.0
        np.testing.assert_allclose(new["mean"], kept * old["mean"] + 0.1 * mean * train, atol=1e-5)
        np.testing.assert_allclose(new["var"], kept * old["var"] + 0.1 * var * train, atol=1e-5)
        norm = p[f"BatchNorm_{i}"]
        x = leaky_relu((x - mean) / np.sqrt(var + 0.8) * norm["scale"] + norm["bias"])
    x = np.tanh(dense(p["Dense_3"], x)).reshape(9, 4, 4, 2)
    np.testing.assert_allclose(images, x, atol=1e-5)


def test_discriminator_is_the_formula():
    discriminator = Discriminator((4, 4, 2), num_classes=3, hidden_dims=(8, 16, 12))
    images, labels = discriminator_inputs(discriminator, 9)
    variables = randomized(init(discriminator))
    logits = jax.jit(partial(discriminator.apply, train=False))(variables, images, labels)

    p = float64(variables["params"])
    x = np.concatenate(
        [np.float64(images).reshape(9, -1), p["Embed_0"]["embedding"][labels]], axis=1
    )
    for name in ("JoinedDense_0", "Dense_0", "Dense_1"):
        x = leaky_relu(dense(p[name], x))
    np.testing.assert_allclose(logits, dense(p["Dense_2"], x)[:, 0], atol=1e-5)


def test_dropout_is_the_key_s_and_only_in_training():
    discriminator = Discriminator((4, 4, 1), hidden_dims=(16, 16, 16))
    variables = init(discriminator)
    inputs = discriminator_inputs(discriminator, 3)

    @partial(jax.jit, static_argnums=1)
    def logits(key, rate=0.4):
        model = discriminator.clone(dropout_rate=rate)
        return model.apply(variables, *inputs, train=True, rngs={"dropout": key})

    np.testing.assert_array_equal(logits(KEY), logits(KEY))
    assert (logits(KEY) != logits(jax.random.key(1))).all()
    evaluated = jax.jit(partial(discriminator.apply, train=False))(variables, *inputs)
    np.testing.assert_allclose(logits(KEY, 0.0), evaluated, rtol=1e-6)
    assert (logits(KEY) != evaluated).all()


def test_initial_scales_are_pytorch_s():
    generator = Generator()
    p = init(generator)["params"]
    embedding, kernel = p["Embed_0"]["embedding"], p["Dense_3"]["kernel"]
    assert 0.75 < embedding.std() < 1.25
    assert abs(kernel).max() <= 1 / np.sqrt(512)
    np.testing.assert_allclose(kernel.std(), 1 / np.sqrt(3 * 512), rtol=0.01)


@pytest.mark.parametrize("num", [0, 1])
def test_few_images(num):
    generator, discriminator = Generator((4, 4, 1)), Discriminator((4, 4, 1))
    noise, labels = generator_inputs(generator, num)

    def run(train):
        images, _ = generator.apply(
            init(generator), noise, labels, train=train, mutable=["batch_stats"]
        )
        return images, discriminator.apply(init(discriminator), images, labels, train=False)

    images, logits = jax.eval_shape(lambda: run(True))
    assert images.shape == (num, 4, 4, 1)
    assert logits.shape == (num,)


def dtypes(tree):
    return jax.tree.map(lambda leaf: leaf.dtype, tree)


def test_in_bfloat16_the_generator_s_parameters_statistics_and_images_are_float32():
    generator = Generator((4, 4, 2), latent_dim=5, num_classes=3, hidden_dims=(8, 16, 12))
    low = generator.clone(dtype=jnp.bfloat16)
    noise, labels = generator_inputs(generator, 9)
    variables = randomized(init(generator))
    assert dtypes(jax.eval_shape(lambda: init(low))) == dtypes(variables)

    def run(model):
        apply = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
        return apply(variables, noise, labels)

    result, expected = run(low), run(generator)
    assert dtypes(result) == dtypes(expected)
    assert (result[0] != expected[0]).any()
    jax.tree.map(partial(np.testing.assert_allclose, atol=0.03), result, expected)


def test_in_bfloat16_the_discriminator_s_parameters_and_logits_are_float32():
    discriminator = Discriminator((4, 4, 2), num_classes=3, hidden_dims=(8, 16, 12))
    low = discriminator.clone(dtype=jnp.bfloat16)
    inputs = discriminator_inputs(discriminator, 9)
    variables = randomized(init(discriminator))
    assert dtypes(jax.eval_shape(lambda: init(low))) == dtypes(variables)

    def run(model):
        def loss(variables):
            logits = model.apply(variables, *inputs, train=False)
            return jnp.mean((logits - 1) ** 2), logits

        (_, logits), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
        return logits, gradients

    result, expected = run(low), run(discriminator)
    assert dtypes(result) == dtypes(expected)
    assert (result[0] != expected[0]).any()
    jax.tree.map(partial(np.testing.assert_allclose, rtol=0.05, atol=0.05), result, expected)
