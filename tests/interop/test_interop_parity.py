"""The same weights, inputs and noise give the same numbers as the course's PyTorch code."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from our_side import (
    BATCH,
    KEY,
    KL_WEIGHT,
    NUM_CLASSES,
    activate,
    assert_close,
    inputs_for,
    objective_of,
    our_gradients,
    our_outputs,
    to_numpy,
)

from jaxgen.gan import objectives as gan_objectives
from jaxgen.gan.learner import Hypers as GANHypers
from jaxgen.gan.learner import cgan
from jaxgen.types import Batch
from jaxgen.vae.learner import Hypers as VAEHypers
from jaxgen.vae.learner import vae

torch = pytest.importorskip("torch")
course = pytest.importorskip("experiments.benchmark.course")
theirs = pytest.importorskip("their_side")

WIDTHS = (6, 5, 8, 7, 4)  # all different, so that axes cannot be mixed up
LEARNING_RATE = 1e-3

SMALL = {
    "conv-32x32x1": lambda: course.VanillaVAE((1, 32, 32), 9, WIDTHS),
    "conv-64x64x3": lambda: course.VanillaVAE((3, 64, 64), 9, WIDTHS),
    "conv-16x16x1": lambda: course.VanillaVAE((1, 16, 16), 9, WIDTHS[:3]),
    "mlp": lambda: course.MLPVAE((3, 8, 8), 9, (16, 12)),
    "generator": lambda: course.Generator((3, 8, 8), 11, 10, (12, 16, 20)),
    "discriminator": lambda: course.Discriminator((3, 8, 8), 10, (20, 16, 12), dropout_rate=0.0),
}
COMPARED = [name for name in SMALL if name != "conv-16x16x1"]
FULL = {
    "conv": course.VanillaVAE,
    "conv-64x64x3": lambda: course.VanillaVAE((3, 64, 64)),
    "mlp": course.MLPVAE,
    "generator": course.Generator,
    "discriminator": lambda: course.Discriminator(dropout_rate=0.0),
}


@pytest.mark.parametrize("name", COMPARED)
def test_evaluation_agrees_in_float64(name):
    with jax.enable_x64(True):
        network, model, variables = theirs.pair(SMALL[name], torch.float64)
        inputs = inputs_for(model, np.float64)
        ours, _ = our_outputs(model, variables, inputs, False)
        expected = theirs.their_outputs(network.eval(), inputs)
        for our, their in zip(activate(model, ours), expected, strict=True):
            assert_close(our, their, 1e-9)


@pytest.mark.parametrize("name", COMPARED)
def test_training_agrees_in_float64(name):
    """Outputs, loss, all gradients, and the running statistics after a step."""
    with jax.enable_x64(True):
        network, model, variables = theirs.pair(SMALL[name], torch.float64)
        inputs = inputs_for(model, np.float64)
        before = to_numpy(model, variables)
        loss, outputs, statistics, grads = our_gradients(model, variables, inputs)
        after = to_numpy(model, {"params": grads, **statistics})

        counts = theirs.count_normalized(network)
        expected = theirs.their_outputs(copy.deepcopy(network).train(), inputs)
        for our, their in zip(activate(model, outputs), expected, strict=True):
            assert_close(our, their, 1e-9)
        their_loss = theirs.their_loss(network.train(), inputs)
        their_loss.backward()
        assert_close(loss, their_loss.detach(), 1e-9)
        for name, parameter in network.named_parameters():
            assert_close(after[name], parameter.grad, 1e-9, name)
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                assert_close(after[name], buffer, 1e-9, name)
            if name.endswith("running_var"):
                # PyTorch averages the unbiased variance, Flax the biased one
                n = counts[name.removesuffix(".running_var")]
                seen = (buffer.numpy() - 0.9 * before[name]) / 0.1 * (n - 1) / n
                assert_close(after[name], 0.9 * before[name] + 0.1 * seen, 1e-9, name)


@pytest.mark.parametrize(
    "name", ["conv-16x16x1", pytest.param("conv-32x32x1", marks=pytest.mark.slow), "mlp"]
)
def test_a_vae_agrees_after_ten_adam_steps_in_float64(name):
    with jax.enable_x64(True):
        network, model, variables = theirs.pair(SMALL[name], torch.float64)
        learner = vae(model, objective_of(model))
        like = jax.eval_shape(learner.init, KEY, VAEHypers())
        state = like._replace(network=start(like.network, variables), kl_weight=jnp.ones(()))
        step = jax.jit(learner.step)
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        their_step = course.vae_step(network.train(), optimizer, KL_WEIGHT)

        batch = random_batch(model)
        x = theirs.to_tensor(np.array(objective_of(model).observe(batch.image, KEY), float))
        for t in range(10):
            key = jax.random.fold_in(KEY, t)
            state, metrics = step(state, batch, key)
            eps = jax.random.normal(jax.random.split(key)[1], (BATCH, model.latent_dim))
            loss = their_step(x, torch.tensor(np.array(eps)))
            assert_close(metrics["loss"], loss.detach(), 1e-9, f"step {t}")
        assert_same_parameters(model, state.network, network)


def test_both_networks_of_a_gan_agree_after_ten_adam_steps_in_float64():
    with jax.enable_x64(True):
        names = ("generator", "discriminator")
        networks, models, variables = zip(
            *(theirs.pair(SMALL[name], torch.float64) for name in names), strict=True
        )
        learner = cgan(models[0], models[1], gan_objectives.least_squares())
        state = jax.eval_shape(learner.init, KEY, GANHypers())
        state = state._replace(
            generator=start(state.generator, variables[0]),
            discriminator=start(state.discriminator, variables[1]),
            penalty_weight=jnp.zeros(()),
        )
        step = jax.jit(learner.step)
        optimizers = (
            torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, betas=(0.5, 0.999))
            for network in networks
        )
        their_step = course.cgan_step(*networks, *optimizers)

        batch = random_batch(models[0])
        real = theirs.to_tensor(np.array(batch.image) / 127.5 - 1)
        label = torch.tensor(np.array(batch.label))
        for t in range(10):
            key = jax.random.fold_in(KEY, t)
            state, metrics = step(state, batch, key)
            generator_key, _ = jax.random.split(key, 2)
            label_key, noise_key, *_ = jax.random.split(generator_key, 4)
            noise = np.array(jax.random.normal(noise_key, (BATCH, models[0].latent_dim)))
            fake_label = np.array(jax.random.randint(label_key, (BATCH,), 0, NUM_CLASSES))
            losses = their_step(real, label, torch.tensor(noise), torch.tensor(fake_label))
            for name, loss in zip(names, losses, strict=True):
                assert_close(metrics[f"{name}_loss"], loss.detach(), 1e-9, f"{name}, step {t}")
        assert_same_parameters(models[0], state.generator, networks[0])
        assert_same_parameters(models[1], state.discriminator, networks[1])


def random_batch(model):
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (BATCH, *model.image_shape), np.uint8)
    label = random.integers(0, NUM_CLASSES, BATCH, np.int32)
    return Batch(jnp.asarray(image), jnp.asarray(label))


def start(like, variables):
    """The state of a network before its first step; `like` has its functions and optimizer."""
    opt_state = like.tx.init(variables["params"])
    return like.replace(
        **variables,
        step=jnp.zeros((), jnp.int32),
        opt_state=optax.tree.set(opt_state, learning_rate=jnp.asarray(LEARNING_RATE, float)),
    )


def assert_same_parameters(model, state, network):
    ours = to_numpy(model, state.variables)
    cancelled = theirs.biases_before_norms(network)
    for name, parameter in network.named_parameters():
        # Their gradient is rounding alone, about 1e-16, which Adam divides by its epsilon of 1e-8
        tolerance = 1e-7 if name in cancelled else 1e-9
        assert_close(ours[name], parameter.detach(), tolerance, name)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            assert_close(ours[name], buffer, 1e-9, name)


@pytest.mark.parametrize("objective", ["minimax", "non_saturating", "least_squares"])
def test_gan_losses_agree_in_float64(objective):
    with jax.enable_x64(True):
        logits = jnp.linspace(-100, 100, 41)
        tensor = torch.tensor(np.array(logits))
        loss = torch.nn.functional.binary_cross_entropy_with_logits
        if objective == "least_squares":
            loss = torch.nn.functional.mse_loss
        valid = loss(tensor, torch.ones_like(tensor), reduction="none")
        fake = loss(tensor, torch.zeros_like(tensor), reduction="none")
        ours = getattr(gan_objectives, objective)()
        assert_close(ours.real(logits), valid, 1e-9)
        assert_close(ours.fake(logits), fake, 1e-9)
        assert_close(ours.generator(logits), -fake if objective == "minimax" else valid, 1e-9)


@pytest.mark.slow  # test_interop_golden.py compares small models with recorded numbers
@pytest.mark.parametrize("train", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize(
    "name", ["conv", "conv-lax", "conv-64x64x3", "mlp", "generator", "discriminator"]
)
def test_outputs_and_losses_agree_in_float32_at_full_size(name, train):
    network, model, variables = theirs.pair(FULL[name.removesuffix("-lax")], torch.float32)
    if name == "conv-lax":
        model = model.clone(implementation="lax")
    inputs = inputs_for(model, np.float32)
    expected = theirs.their_outputs(copy.deepcopy(network).train(train), inputs)
    if train:
        loss, outputs, *_ = our_gradients(model, variables, inputs)
        assert_close(loss, theirs.their_loss(network.train(), inputs).detach(), 1e-5)
    else:
        outputs, _ = our_outputs(model, variables, inputs, False)
    for our, their in zip(activate(model, outputs), expected, strict=True):
        assert_close(our, their, 1e-5)
