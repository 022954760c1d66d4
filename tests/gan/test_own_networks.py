"""Networks of one's own: any collections and streams work, and what does not fit is named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from tiny_gan import DISCRIMINATOR, KEY, batch, pixels, tiny_cgan

from jaxgen.errors import InputError
from jaxgen.gan import objectives
from jaxgen.gan.learner import Hypers
from jaxgen.gan.models import DiscriminatorNetwork
from jaxgen.networks import check_members


class OwnGenerator(nn.Module):
    """With dropout, and a collection besides its batch statistics."""

    image_shape: tuple[int, int, int] = (4, 4, 1)
    latent_dim: int = 3
    num_classes: int = 4
    rate: float = 0.0
    final: str = "tanh"

    @nn.compact
    def __call__(self, noise, labels, *, train):
        count = self.variable("counter", "calls", lambda: jnp.zeros((), jnp.int32))
        if train:
            count.value += 1
        x = nn.Dense(8)(jnp.concatenate([noise, nn.Embed(4, 2)(labels)], -1))
        x = nn.Dropout(self.rate, deterministic=not train)(nn.relu(nn.BatchNorm(not train)(x)))
        x = nn.Dense(16)(x).reshape(-1, 4, 4, 1)
        return {"tanh": jnp.tanh, "sigmoid": nn.sigmoid}[self.final](x)


class OwnDiscriminator(nn.Module):
    """With BatchNorm and spectral normalization."""

    is_probability: bool = False
    is_column: bool = False

    @nn.compact
    def __call__(self, images, labels, *, train):
        x = images.reshape(len(images), -1)
        x = nn.SpectralNorm(nn.Dense(8))(x, update_stats=train)
        x = nn.BatchNorm(not train, momentum=0.5)(x) + nn.Embed(4, 8)(labels)
        x = nn.Dense(1)(nn.leaky_relu(x))
        x = x if self.is_column else x.squeeze(-1)
        return nn.sigmoid(x) if self.is_probability else x


class MixedGenerator(OwnGenerator):
    """Takes weights of the classes, too."""

    @nn.compact
    def __call__(self, noise, labels, *, train):
        one_hot = jax.nn.one_hot(labels, 4) if labels.ndim == 1 else labels
        x = nn.BatchNorm(not train)(nn.Dense(16)(jnp.concatenate([noise, one_hot], -1)))
        return nn.tanh(x).reshape(-1, 4, 4, 1)


def own(**options):
    defaults = {
        "generator": OwnGenerator(),
        "discriminator": OwnDiscriminator(),
        "objective": objectives.non_saturating(),
        "ema_decay": 0.9,
    }
    return tiny_cgan(**(defaults | options))


@pytest.mark.parametrize("num_steps", [1, 2])
def test_every_collection_follows_the_updates_of_its_own_network(num_steps):
    learner = own(num_discriminator_steps=num_steps)
    first = state = learner.init(KEY, Hypers())
    step = jax.jit(learner.step)
    for t in range(3):
        state, metrics = step(state, batch(), jax.random.fold_in(KEY, t))
        assert all(np.isfinite(x) for x in metrics.values())
    assert state.generator.collections["counter"]["calls"] == 3
    for now, then in zip(
        jax.tree.leaves(state.discriminator.batch_stats),
        jax.tree.leaves(first.discriminator.batch_stats),
        strict=True,
    ):
        assert (now != then).any()
    assert jax.tree.structure(state) == jax.tree.structure(first)
    assert learner.sample(state, jnp.arange(4), KEY).shape == (4, 4, 4, 1)
    assert set(state.ema) == {"params", "batch_stats"}


def test_real_images_and_fakes_are_normalized_as_separate_batches():
    """The running average moves halfway to the real images, then halfway to the fakes."""

    class Plain(nn.Module):
        @nn.compact
        def __call__(self, images, labels, *, train):
            x = nn.BatchNorm(not train, momentum=0.5)(images.reshape(len(images), -1))
            return nn.Dense(1)(x).squeeze(-1)

    learner = own(discriminator=Plain(), ema_decay=None)
    state = learner.init(KEY, Hypers())
    new, _ = jax.jit(learner.step)(state, batch(), KEY)
    real = np.float64(pixels(batch().image)).reshape(8, -1).mean(0)
    average = np.float64(new.discriminator.batch_stats["BatchNorm_0"]["mean"])
    fake = 2 * average - 0.5 * real

    generator_key, _ = jax.random.split(KEY)
    label_key, noise_key, _, network_key = jax.random.split(generator_key, 4)
    label = jax.random.randint(label_key, (8,), 0, 4)
    noise = jax.random.normal(noise_key, (8, 3))
    variables, mutable = state.generator.variables, ["batch_stats", "counter"]
    image, _ = OwnGenerator().apply(  # pyright: ignore[reportGeneralTypeIssues]
        variables, noise, label, train=True, rngs=network_key, mutable=mutable
    )
    np.testing.assert_allclose(fake, np.float64(image).reshape(8, -1).mean(0), atol=1e-5)


@pytest.mark.slow
def test_the_discriminator_evaluates_by_its_running_averages():
    learner = own(sample_statistics="running")
    state, _ = learner.step(learner.init(KEY, Hypers()), batch(), KEY)
    together = learner.evaluate(state, batch(), KEY)["d_real"]
    alone = learner.evaluate(state, jax.tree.map(lambda x: x[:2], batch()), KEY)["d_real"]
    np.testing.assert_allclose(together[:2], alone, rtol=1e-5)


def test_a_generator_with_dropout_trains_and_samples_by_running_averages():
    learner = own(generator=OwnGenerator(rate=0.5), sample_statistics="running")
    state, _ = learner.step(learner.init(KEY, Hypers()), batch(), KEY)
    images = learner.sample(state, jnp.arange(4), KEY)
    np.testing.assert_array_equal(images, learner.sample(state, jnp.arange(4), KEY))
    without, _ = own(sample_statistics="running").step(state, batch(), KEY)
    new, _ = learner.step(state, batch(), KEY)
    assert (
        new.generator.params["Dense_1"]["kernel"] != without.generator.params["Dense_1"]["kernel"]
    ).any()


def test_a_generator_that_takes_weights_draws_between_classes():
    learner = own(generator=MixedGenerator(), ema_decay=None)
    assert learner.generate_mixture is not None
    state = learner.init(KEY, Hypers())
    noise, labels = jax.random.normal(KEY, (6, 3)), jnp.arange(6) % 4
    images = learner.generate_mixture(state, jax.nn.one_hot(labels, 4), noise)
    np.testing.assert_allclose(images, learner.generate(state, labels, noise), atol=1e-6)
    halfway = learner.generate_mixture(state, jnp.full((6, 4), 0.25), noise)
    assert np.abs(np.asarray(halfway - images)).max() > 1e-3
    assert own().generate_mixture is None  # an embedding takes labels only


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": OwnGenerator(rate=0.5)}, "choose sample_statistics='running'"),
        ({"generator": OwnGenerator((8, 4, 1))}, r"its image_shape demands \(2, 8, 4, 1\)"),
        ({"generator": OwnGenerator(final="sigmoid")}, "OwnGenerator ends with a sigmoid"),
        ({"generator": OwnGenerator(num_classes=0)}, "num_classes must be positive"),
        ({"discriminator": OwnDiscriminator(is_probability=True)}, "and the losses take logits"),
        ({"discriminator": OwnDiscriminator(is_column=True)}, r"returns shape \(2, 1\) for 2"),
        (
            {"discriminator": DISCRIMINATOR.clone(image_shape=(8, 8, 1))},
            r"takes images of shape \(8, 8, 1\), not of shape \(4, 4, 1\)",
        ),
    ],
)
def test_what_does_not_fit_is_named_at_construction(options, message):
    with pytest.raises(InputError, match=message):
        own(**options)


def test_what_is_missing_is_named():
    class Empty(nn.Module):
        pass

    with pytest.raises(InputError, match=r"Empty has no __call__: see jaxgen\.gan\.models\.Discr"):
        check_members(Empty(), DiscriminatorNetwork)


def test_images_of_another_shape_are_refused_before_the_step():
    learner = tiny_cgan(objective=objectives.hinge())
    state = jax.eval_shape(learner.init, KEY, Hypers())
    other = batch()._replace(image=jnp.zeros((8, 8, 8, 1), jnp.uint8))
    with pytest.raises(InputError, match=r"takes images of shape \(4, 4, 1\), not of"):
        jax.eval_shape(learner.step, state, other, KEY)
