"""Shapes, sizes and parts of the two VAEs."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxgen.errors import InputError
from jaxgen.types import Batch
from jaxgen.vae.learner import Hypers, vae
from jaxgen.vae.models import MLPVAE, ConvVAE, reparameterize
from jaxgen.vae.objectives import gaussian


def init(model):
    image = jnp.zeros((1, *model.image_shape))
    return jax.jit(lambda key: model.init(key, image, key, train=False))(jax.random.key(0))


def apply(model, variables, *args, **options):
    return jax.jit(lambda variables, *args: model.apply(variables, *args, **options))(
        variables, *args
    )


def num_values(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def conv(inputs, outputs):
    return 9 * inputs * outputs + outputs


def dense(inputs, outputs):
    return inputs * outputs + outputs


@pytest.mark.parametrize(
    ("image_shape", "latent_dim", "dims"),
    [((32, 32, 1), 128, (32, 64, 128, 256, 512)), ((16, 48, 3), 5, (4, 8)), ((2, 2, 1), 1, (3,))],
)
def test_conv_vae_has_the_parameters_of_the_specification(image_shape, latent_dim, dims):
    height, width, channels = image_shape
    flat = dims[-1] * (height // 2 ** len(dims)) * (width // 2 ** len(dims))
    expected = sum(conv(i, o) + 2 * o for i, o in zip((channels, *dims), dims, strict=False))
    expected += 2 * dense(flat, latent_dim) + dense(latent_dim, flat)
    up = (*reversed(dims), dims[0])  # the final layer keeps the last width
    expected += sum(conv(i, o) + 2 * o for i, o in pairwise(up))
    expected += conv(dims[0], channels)

    variables = init(ConvVAE(image_shape, latent_dim, dims))
    assert num_values(variables["params"]) == expected
    assert num_values(variables["batch_stats"]) == 2 * (sum(dims) + sum(up[1:]))


def test_default_conv_vae_has_the_known_number_of_parameters():
    # Counted by hand from the specification's layers at 32x32x1 with a latent space of 128
    key, image = jax.random.key(0), jnp.zeros((1, 32, 32, 1))
    shapes = jax.eval_shape(lambda: ConvVAE().init(key, image, key, train=False))
    assert num_values(shapes["params"]) == 3_345_121


@pytest.mark.parametrize("image_shape", [(28, 28, 1), (8, 4, 3)])
def test_mlp_vae_has_the_parameters_of_the_specification(image_shape):
    size = np.prod(image_shape)
    expected = dense(size, 30) + dense(30, 20) + 2 * dense(20, 4)
    expected += dense(4, 20) + dense(20, 30) + dense(30, size)
    variables = init(MLPVAE(image_shape, latent_dim=4, hidden_dims=(30, 20)))
    assert num_values(variables["params"]) == expected
    assert "batch_stats" not in variables


@pytest.mark.parametrize("model", [ConvVAE((16, 8, 3), 5, (4, 8)), MLPVAE((16, 8, 3), 5, (6, 7))])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_forward_pass_has_the_shapes_it_says(model, batch_size):
    key = jax.random.key(1)
    x = jnp.ones((batch_size, 16, 8, 3))
    variables = jax.eval_shape(lambda: model.init(key, x, key, train=False))
    out = jax.eval_shape(
        lambda variables: model.apply(variables, x, key, train=False, num_samples=2), variables
    )
    assert out.output.shape == (2, batch_size, 16, 8, 3)
    assert out.z.shape == (2, batch_size, 5)
    assert out.mean.shape == out.logvar.shape == (batch_size, 5)


@pytest.mark.parametrize("model", [ConvVAE((8, 8, 1), 5, (4,)), MLPVAE((8, 8, 1), 5, (6, 7))])
def test_the_forward_pass_is_its_parts_composed(model):
    variables, key = init(model), jax.random.key(1)
    x = jax.random.uniform(key, (3, 8, 8, 1))
    out = apply(model, variables, x, key, train=False)
    mean, logvar = apply(model, variables, x, train=False, method="encode")
    z = reparameterize(key, mean, logvar, 1)[0]
    assert_allclose(out.z[0], z)
    output = apply(model, variables, z, train=False, method="decode")
    assert_allclose(out.output[0], output, atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "function"), [("relu", lambda x: np.maximum(x, 0)), ("tanh", np.tanh)]
)
def test_the_hidden_layers_of_an_mlp_have_the_activation_asked_for(activation, function):
    model = MLPVAE((2, 2, 1), 3, (4, 5), activation=activation)
    variables, z = init(model), np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    layers = jax.tree.map(np.asarray, variables["params"])
    x = z
    for name in ("decoder_0", "decoder_1"):
        x = function(x @ layers[name]["kernel"] + layers[name]["bias"])
    expected = x @ layers["final"]["kernel"] + layers["final"]["bias"]
    actual = apply(model, variables, z, train=False, method="decode")
    assert_allclose(actual.reshape(6, 4), expected, rtol=1e-5, atol=1e-6)


def test_reparameterized_samples_have_the_mean_and_variance_asked_for():
    mean, logvar = jnp.float32([[-3.0, 2.0]]), jnp.float32([[1.0, -4.0]])
    z = reparameterize(jax.random.key(0), mean, logvar, 100_000)
    assert_allclose(z.mean(0), mean, atol=0.02)
    assert_allclose(z.var(0), jnp.exp(logvar), rtol=0.02)


def test_training_uses_and_updates_batch_statistics_and_evaluation_does_not():
    model = ConvVAE((8, 8, 1), 5, (4,))
    variables, key = init(model), jax.random.key(1)
    x = jax.random.uniform(key, (3, 8, 8, 1))
    _, updates = apply(model, variables, x, key, train=True, mutable=["batch_stats"])
    old, new = jax.tree.leaves(variables["batch_stats"]), jax.tree.leaves(updates["batch_stats"])
    assert not any(np.array_equal(a, b) for a, b in zip(old, new, strict=True))
    alone = apply(model, variables, x[:1], key, train=False).mean
    together = apply(model, variables, x, key, train=False).mean[:1]
    assert_allclose(alone, together, rtol=1e-5, atol=1e-6)


def test_an_image_that_cannot_be_halved_is_refused_in_plain_words():
    with pytest.raises(InputError, match=r"28x28 images cannot be halved 5 times.*by 32"):
        jax.eval_shape(lambda: init(ConvVAE((28, 28, 1))))


@pytest.mark.parametrize(
    ("size", "batch_size", "fits"), [(4, 1, False), (4, 2, True), (8, 1, True)]
)
def test_batch_statistics_need_more_than_one_value(size, batch_size, fits):
    """A batch of one whose encoder ends in 1x1 maps is refused, before the first update."""
    learner = vae(ConvVAE((size, size, 1), hidden_dims=(4, 4), latent_dim=2), gaussian("tanh", 0.1))
    state = jax.jit(learner.init)(jax.random.key(0), Hypers())
    images = np.random.default_rng(0).integers(0, 256, (batch_size, size, size, 1), np.uint8)
    batch = Batch(jnp.array(images), jnp.zeros(batch_size, jnp.int32))
    if fits:
        _, metrics = jax.jit(learner.step)(state, batch, jax.random.key(1))
        assert np.isfinite(metrics["loss"])
    else:
        with pytest.raises(InputError, match="--batch-size of at least 2"):
            learner.step(state, batch, jax.random.key(1))
    metrics = jax.jit(learner.evaluate)(state, batch, jax.random.key(2))
    assert np.isfinite(metrics["kl_nats"]).all()


def test_a_convolutional_vae_without_layers_is_refused():
    with pytest.raises(InputError, match="at least one layer: add to --hidden-dims"):
        jax.eval_shape(lambda: init(ConvVAE(hidden_dims=())))


SMALL = [ConvVAE((4, 4, 1), 3, (4,)), MLPVAE((4, 4, 1), 3, (8, 6))]


def dtypes(tree):
    return {leaf.dtype for leaf in jax.tree.leaves(tree)}


@pytest.mark.parametrize("model", SMALL)
def test_in_bfloat16_parameters_statistics_latents_and_outputs_are_float32(model):
    low, key, x = model.clone(dtype=jnp.bfloat16), jax.random.key(1), jnp.ones((2, 4, 4, 1))

    def forward(key):
        variables = low.init(key, x, key, train=False)
        return variables, low.apply(variables, x, key, train=True, mutable=["batch_stats"])

    assert dtypes(jax.eval_shape(forward, key)) == {jnp.dtype(jnp.float32)}
    assert "bf16" in jax.jit(forward).lower(key).as_text()


@pytest.mark.parametrize("model", SMALL)
def test_in_bfloat16_a_step_is_nearly_that_in_float32(model):
    batch = Batch(jnp.arange(16 * 16).reshape(16, 4, 4, 1).astype(jnp.uint8), jnp.arange(16))
    key = jax.random.key(1)

    def step(dtype):
        learner = vae(model.clone(dtype=dtype), gaussian("tanh", 0.1))
        return jax.jit(lambda key: learner.step(learner.init(key, Hypers()), batch, key))(key)

    (state, metrics), (expected_state, expected) = step(jnp.bfloat16), step(None)
    assert dtypes((state.network.variables, metrics)) == {jnp.dtype(jnp.float32)}
    assert_allclose(metrics["grad_norm"], expected["grad_norm"], rtol=0.05)
    assert_allclose(metrics["reconstruction_nats"], expected["reconstruction_nats"], rtol=0.02)
    assert_allclose(metrics["kl_nats"], expected["kl_nats"], rtol=0.05)
    assert metrics["reconstruction_nats"] != expected["reconstruction_nats"]
    statistics = state.network.batch_stats, expected_state.network.batch_stats
    jax.tree.map(lambda a, e: assert_allclose(a, e, atol=0.01), *statistics)


def test_the_form_of_the_convolutions_can_be_forced():
    model = ConvVAE((4, 4, 1), 3, (4,))
    variables, key = init(model), jax.random.key(1)
    x = jax.random.uniform(key, (3, 4, 4, 1))
    text, out = {}, {}
    for form in ("matmul", "lax"):
        forced = model.clone(implementation=form)
        text[form] = str(
            jax.make_jaxpr(lambda v, m=forced: m.apply(v, x, key, train=False))(variables)
        )
        out[form] = apply(forced, variables, x, key, train=False)
    # one that halves, one that doubles, and the last one
    assert text["lax"].count("conv_general_dilated[") == 3
    assert "conv_general_dilated" not in text["matmul"]
    assert_allclose(out["matmul"].output, out["lax"].output, atol=1e-5)
