"""The training algorithm of the conditional GAN as a Learner."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from jaxgen.errors import InputError, require_positive
from jaxgen.gan.check import accepts_class_weights, check_networks
from jaxgen.gan.models import DiscriminatorNetwork, GeneratorNetwork
from jaxgen.gan.objectives import Logits, Objective, Penalty
from jaxgen.gan.sampling import evaluate, generate, generate_mixture, random_inputs, sample
from jaxgen.gan.state import GAN, GANState, Hypers
from jaxgen.networks import check_image_shape
from jaxgen.pixels import to_symmetric
from jaxgen.types import (
    Batch,
    Labels,
    Learner,
    Metrics,
    Optimizer,
    Scalar,
    SymmetricImages,
    TrainState,
    create_train_state,
    traced_learning_rate,
)


def adam(learning_rate: Scalar) -> optax.GradientTransformation:
    """Adam with b1 = 0.5, as in PyTorch-GAN (Radford et al. 2016, sec. 4)."""
    return optax.adam(learning_rate, b1=0.5)


def cgan(
    generator: GeneratorNetwork,
    discriminator: DiscriminatorNetwork,
    objective: Objective,
    *,
    optimizer: Optimizer = adam,
    num_discriminator_steps: int = 1,
    label_smoothing: float = 0.0,
    penalty: Penalty | None = None,
    ema_decay: float | None = None,
    sample_statistics: Literal["batch", "running"] = "batch",
) -> Learner[GANState, Hypers]:
    """A conditional GAN with the course's training loop (part 2, sec. 4.3) as pure functions.

    A step updates the generator once, then the discriminator `num_discriminator_steps` times on
    equal parts of the batch, so that each update sees new real images. The first of these reuses
    the fakes that the generator drew before its update; later ones draw new fakes. The metrics of
    the discriminator are those of its last update. The loss of the discriminator is
    (real + fake + penalty_weight * penalty) / 2, half of the sum in the papers on the penalties.

    With `ema_decay`, samples come from a moving average of the generator. `sample_statistics`
    selects the statistics by which BatchNorm normalizes them. "batch" takes those of the images
    drawn together, as the course does. Fewer than 256 of them are drawn together with others of all
    classes, always the same ones; many images of few classes are still unlike a training batch.
    "running" takes the running averages, so that no image depends on another; with `ema_decay` it
    is inaccurate in the first few thousand steps, when the activations of the averaged generator
    vary less than the running averages.

    A discriminator with further variable collections, such as the averages of BatchNorm, sees real
    images and fakes as separate batches; only its own updates change these collections.

    Raises InputError for options out of range, and for networks that lack something or disagree;
    `step` raises it for a batch that cannot be split evenly, or of images of another shape.
    """
    require_positive(num_discriminator_steps=num_discriminator_steps)
    for name, share in {"label_smoothing": label_smoothing, "ema_decay": ema_decay}.items():
        if share is not None and not 0 <= share < 1:
            raise InputError(f"{name} must be at least 0 and less than 1, but is {share}.")
    check_networks(generator, discriminator, samples_in_training=sample_statistics == "batch")
    gan = GAN(
        generator=generator,
        discriminator=discriminator,
        objective=objective,
        num_discriminator_steps=num_discriminator_steps,
        label_smoothing=label_smoothing,
        penalty=penalty,
        ema_decay=ema_decay,
        sample_statistics=sample_statistics,
    )
    return Learner(
        init=partial(_init, gan, traced_learning_rate(optimizer)),
        step=partial(_step, gan),
        evaluate=partial(evaluate, gan),
        generate=partial(generate, gan),
        sample=partial(sample, gan),
        generate_mixture=partial(generate_mixture, gan)
        if accepts_class_weights(generator)
        else None,
        latent_dim=generator.latent_dim,
        num_classes=generator.num_classes,
    )


def _init(
    gan: GAN, optimizer: optax.GradientTransformation, key: Key[Array, ""], hypers: Hypers
) -> GANState:
    generator_key, discriminator_key = jax.random.split(key)
    noise, label = jnp.zeros((1, gan.generator.latent_dim)), jnp.zeros(1, jnp.int32)
    image = jnp.zeros((1, *gan.generator.image_shape))
    g_rate, d_rate = hypers.generator_learning_rate, hypers.discriminator_learning_rate
    g_variables = gan.generator.init(generator_key, noise, label, train=False)
    d_variables = gan.discriminator.init(discriminator_key, image, label, train=False)
    generator = create_train_state(gan.generator.apply, g_variables, optimizer, g_rate)
    return GANState(
        generator=generator,
        discriminator=create_train_state(gan.discriminator.apply, d_variables, optimizer, d_rate),
        # A copy, since donating the state would otherwise donate these buffers twice.
        ema=None if gan.ema_decay is None else jax.tree.map(jnp.copy, _averaged(generator)),
        penalty_weight=jnp.array(hypers.penalty_weight, jnp.float32),
    )


def _step(gan: GAN, state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
    num_images, rest = divmod(batch.label.shape[0], gan.num_discriminator_steps)
    if rest:
        raise InputError(
            f"A batch of {batch.label.shape[0]} cannot be split evenly among "
            f"{gan.num_discriminator_steps} discriminator steps: choose a batch size that is a "
            "multiple of them."
        )
    if num_images == 1 and state.generator.batch_stats:
        raise InputError(
            "BatchNorm normalizes by the variance over a batch, and a single image has none: "
            "choose a batch size of at least 2 for each discriminator step."
        )
    check_image_shape(batch.image, gan.generator.image_shape)
    generator_key, *part_keys = jax.random.split(key, 1 + gan.num_discriminator_steps)
    generator, fake, metrics = _update_generator(gan, state, num_images, generator_key)
    discriminator = state.discriminator
    for i, part_key in enumerate(part_keys):
        label_key, noise_key, update_key, network_key = jax.random.split(part_key, 4)
        if i > 0:
            noise, label = random_inputs(gan, num_images, label_key, noise_key)
            inputs = noise, label, network_key
            image, _ = _train_mode(gan.generator, generator, generator.params, *inputs)
            fake = Batch(image, label)
        image, label = (x[i * num_images : (i + 1) * num_images] for x in batch)
        real = Batch(to_symmetric(image), label)
        discriminator, new_metrics = _update_discriminator(
            gan, discriminator, real, fake, state.penalty_weight, update_key
        )
        metrics |= new_metrics
    ema = state.ema
    if gan.ema_decay is not None:
        ema = optax.incremental_update(_averaged(generator), ema, 1 - gan.ema_decay)
    return GANState(generator, discriminator, ema, state.penalty_weight), metrics


def _update_generator(
    gan: GAN, state: GANState, num_fakes: int, key: Key[Array, ""]
) -> tuple[TrainState, Batch, Metrics]:
    """Update the generator; also return the fakes that it drew before the update."""
    label_key, noise_key, critic_key, network_key = jax.random.split(key, 4)
    noise, label = random_inputs(gan, num_fakes, label_key, noise_key)
    old, critic = state.generator, state.discriminator

    def loss_fn(params: PyTree):
        image, updates = _train_mode(gan.generator, old, params, noise, label, network_key)
        inputs = image, label, critic_key
        logits, _ = _train_mode(gan.discriminator, critic, critic.params, *inputs)
        return gan.objective.generator(logits).mean(), (Batch(image, label), updates)

    (loss, (fake, updates)), grads = jax.value_and_grad(loss_fn, has_aux=True)(old.params)
    new = old.apply_gradients(grads=grads).replace_variables(updates)
    return new, fake, {"generator_loss": loss, "generator_grad_norm": optax.tree.norm(grads)}


def _update_discriminator(
    gan: GAN,
    old: TrainState,
    real: Batch,
    fake: Batch,
    penalty_weight: Float[Array, ""],
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    network_key, critic_key, penalty_key = jax.random.split(key, 3)

    def loss_fn(params: PyTree):
        def critic(image: SymmetricImages) -> Logits:
            # A penalty depends on the images only, so the labels are those of the real images.
            return _train_mode(gan.discriminator, old, params, image, real.label, critic_key)[0]

        real_logits, fake_logits, updates = _judge(gan, old, params, real, fake, network_key)
        loss = gan.objective.discriminator(real_logits, fake_logits, gan.label_smoothing).mean()
        metrics = {
            "discriminator_loss": loss,
            "d_real": gan.objective.score(real_logits).mean(),
            "d_fake": gan.objective.score(fake_logits).mean(),
        }
        if gan.penalty is not None:
            metrics["penalty"] = gan.penalty(critic, real.image, fake.image, penalty_key).mean()
            loss += penalty_weight * metrics["penalty"] / 2
        return loss, (metrics, updates)

    grads, (metrics, updates) = jax.grad(loss_fn, has_aux=True)(old.params)
    metrics["discriminator_grad_norm"] = optax.tree.norm(grads)
    return old.apply_gradients(grads=grads).replace_variables(updates), metrics


def _judge(
    gan: GAN, state: TrainState, params: PyTree, real: Batch, fake: Batch, key: Key[Array, ""]
) -> tuple[Logits, Logits, dict[str, PyTree]]:
    """Compute the logits of real images and of fakes; also return the updated collections."""
    if not jax.tree.leaves((state.batch_stats, state.collections)):
        image, label = (jnp.concatenate(pair) for pair in zip(real, fake, strict=True))
        logits, updates = _train_mode(gan.discriminator, state, params, image, label, key)
        real_logits, fake_logits = jnp.split(logits, 2)
        return real_logits, fake_logits, updates
    real_key, fake_key = jax.random.split(key)
    real_logits, updates = _train_mode(gan.discriminator, state, params, *real, real_key)
    after = state.replace_variables(updates)
    fake_logits, updates = _train_mode(gan.discriminator, after, params, *fake, fake_key)
    return real_logits, fake_logits, updates


def _train_mode(
    network: GeneratorNetwork | DiscriminatorNetwork,
    state: TrainState,
    params: PyTree,
    x: Float[Array, "n ..."],
    label: Labels,
    key: Key[Array, ""],
) -> tuple[Float[Array, "n ..."], dict[str, PyTree]]:
    """Apply a network in training; also return its updated variable collections."""
    variables = {**state.variables, "params": params}
    return network.apply(variables, x, label, train=True, rngs=key, mutable=state.mutable)


def _averaged(generator: TrainState) -> dict[str, PyTree]:
    """Return the collections that have a moving average; samples use the others as they are."""
    return {"params": generator.params, "batch_stats": generator.batch_stats}
