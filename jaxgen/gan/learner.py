"""The training algorithm of the conditional GAN as a Learner."""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxgen.batch import check_labels
from jaxgen.errors import InputError, require_positive
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.gan.objectives import Logits, Objective, Penalty
from jaxgen.pixels import symmetric_to_unit, to_symmetric
from jaxgen.types import (
    Batch,
    Labels,
    Learner,
    Metrics,
    Optimizer,
    Scalar,
    SymmetricImages,
    TrainState,
    UnitImages,
    create_train_state,
    traced_learning_rate,
)

NUM_TOGETHER = 64  # images whose statistics are about those of a training batch


class Hypers(NamedTuple):
    """Hyperparameters, which may differ between the members of a population."""

    generator_learning_rate: Scalar = 2e-4
    discriminator_learning_rate: Scalar = 2e-4
    penalty_weight: Scalar = 10.0
    """Factor on the penalty: lambda of `gradient_penalty`, gamma of `r1`."""


class GANState(NamedTuple):
    """The states of both networks and, optionally, a moving average of the generator."""

    generator: TrainState
    discriminator: TrainState
    ema: PyTree
    """Exponential moving average of the generator's variables, or None."""
    penalty_weight: Float[Array, ""]

    @property
    def step(self) -> Int[Array, "..."]:
        """The number of updates of the generator so far."""
        return self.generator.step


class GAN(NamedTuple):
    """The static structure of a conditional GAN: networks, losses and options of `cgan`."""

    generator: Generator
    discriminator: Discriminator
    objective: Objective
    num_discriminator_steps: int
    label_smoothing: float
    penalty: Penalty | None
    ema_decay: float | None
    sample_statistics: Literal["batch", "running"]


def adam(learning_rate: Scalar) -> optax.GradientTransformation:
    """Adam with b1 = 0.5, as in PyTorch-GAN (Radford et al. 2016, sec. 4)."""
    return optax.adam(learning_rate, b1=0.5)


def cgan(
    generator: Generator,
    discriminator: Discriminator,
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
    drawn together, as the course does. Fewer than 64 of them are drawn together with others of all
    classes, always the same ones; many images of few classes are still unlike a training batch.
    "running" takes the running averages, so that
    no image depends on another; with `ema_decay` it is inaccurate in the first few thousand steps,
    when the activations of the averaged generator vary less than the running averages.

    Raises InputError for options out of range; `step` raises it for a batch that cannot be split
    evenly.
    """
    require_positive(
        latent_dim=generator.latent_dim, num_discriminator_steps=num_discriminator_steps
    )
    for network in (generator, discriminator):
        require_positive(hidden_dims=network.hidden_dims)
    for name, share in {"label_smoothing": label_smoothing, "ema_decay": ema_decay}.items():
        if share is not None and not 0 <= share < 1:
            raise InputError(f"{name} must be at least 0 and less than 1, but is {share}.")
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
        evaluate=partial(_evaluate, gan),
        generate=partial(_generate, gan),
        sample=partial(_sample, gan),
        num_classes=generator.num_classes,
    )


def _init(
    gan: GAN, optimizer: optax.GradientTransformation, key: Key[Array, ""], hypers: Hypers
) -> GANState:
    generator_key, discriminator_key = jax.random.split(key)
    noise, label = jnp.zeros((1, gan.generator.latent_dim)), jnp.zeros(1, jnp.int32)
    image = jnp.zeros((1, *gan.discriminator.image_shape))
    generator = gan.generator.init(generator_key, noise, label, train=False)
    discriminator = gan.discriminator.init(discriminator_key, image, label, train=False)
    return GANState(
        generator=create_train_state(
            gan.generator.apply, generator, optimizer, hypers.generator_learning_rate
        ),
        discriminator=create_train_state(
            gan.discriminator.apply, discriminator, optimizer, hypers.discriminator_learning_rate
        ),
        # A copy, since donating the state would otherwise donate these buffers twice.
        ema=None if gan.ema_decay is None else jax.tree.map(jnp.copy, generator),
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
    generator_key, *part_keys = jax.random.split(key, 1 + gan.num_discriminator_steps)
    generator, fake, metrics = _update_generator(gan, state, num_images, generator_key)
    discriminator = state.discriminator
    for i, part_key in enumerate(part_keys):
        label_key, noise_key, update_key = jax.random.split(part_key, 3)
        if i > 0:
            noise, label = _random_inputs(gan, num_images, label_key, noise_key)
            fake = Batch(_forward(gan, generator.variables, noise, label, train=True)[0], label)
        image, label = (x[i * num_images : (i + 1) * num_images] for x in batch)
        real = Batch(to_symmetric(image), label)
        discriminator, new_metrics = _update_discriminator(
            gan, discriminator, real, fake, state.penalty_weight, update_key
        )
        metrics |= new_metrics
    ema = state.ema
    if gan.ema_decay is not None:
        ema = optax.incremental_update(generator.variables, ema, 1 - gan.ema_decay)
    return GANState(generator, discriminator, ema, state.penalty_weight), metrics


def _update_generator(
    gan: GAN, state: GANState, num_fakes: int, key: Key[Array, ""]
) -> tuple[TrainState, Batch, Metrics]:
    """Update the generator; also return the fakes that it drew before the update."""
    label_key, noise_key, dropout_key = jax.random.split(key, 3)
    noise, label = _random_inputs(gan, num_fakes, label_key, noise_key)
    old = state.generator

    def loss_fn(params: PyTree):
        variables = {"params": params, "batch_stats": old.batch_stats}
        image, batch_stats = _forward(gan, variables, noise, label, train=True)
        fake = Batch(image, label)
        logits = _logits(gan, state.discriminator.params, fake, dropout_key)
        return gan.objective.generator(logits).mean(), (fake, batch_stats)

    (loss, (fake, batch_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(old.params)
    new = old.apply_gradients(grads=grads, batch_stats=batch_stats)
    return new, fake, {"generator_loss": loss, "generator_grad_norm": optax.tree.norm(grads)}


def _update_discriminator(
    gan: GAN,
    old: TrainState,
    real: Batch,
    fake: Batch,
    penalty_weight: Float[Array, ""],
    key: Key[Array, ""],
) -> tuple[TrainState, Metrics]:
    dropout_key, critic_key, penalty_key = jax.random.split(key, 3)
    both = Batch(*(jnp.concatenate(pair) for pair in zip(real, fake, strict=True)))

    def loss_fn(params: PyTree):
        def critic(image: SymmetricImages) -> Logits:
            # A penalty depends on the images only, so the labels are those of the real images.
            return _logits(gan, params, Batch(image, real.label), critic_key)

        real_logits, fake_logits = jnp.split(_logits(gan, params, both, dropout_key), 2)
        loss = gan.objective.discriminator(real_logits, fake_logits, gan.label_smoothing).mean()
        metrics = {
            "discriminator_loss": loss,
            "d_real": gan.objective.score(real_logits).mean(),
            "d_fake": gan.objective.score(fake_logits).mean(),
        }
        if gan.penalty is not None:
            metrics["penalty"] = gan.penalty(critic, real.image, fake.image, penalty_key).mean()
            loss += penalty_weight * metrics["penalty"] / 2
        return loss, metrics

    grads, metrics = jax.grad(loss_fn, has_aux=True)(old.params)
    metrics["discriminator_grad_norm"] = optax.tree.norm(grads)
    return old.apply_gradients(grads=grads), metrics


def _evaluate(gan: GAN, state: GANState, batch: Batch, key: Key[Array, ""]) -> Metrics:
    """Compute losses without dropout or label smoothing, on fakes drawn as by `sample`."""
    noise, label = _random_inputs(gan, batch.label.shape[0], *jax.random.split(key))
    fake = Batch(_draw(gan, state, noise, label), label)
    real = Batch(to_symmetric(batch.image), batch.label)
    real_logits = _logits(gan, state.discriminator.params, real, None)
    fake_logits = _logits(gan, state.discriminator.params, fake, None)
    return {
        "generator_loss": gan.objective.generator(fake_logits),
        "discriminator_loss": gan.objective.discriminator(real_logits, fake_logits),
        "d_real": gan.objective.score(real_logits),
        "d_fake": gan.objective.score(fake_logits),
    }


def _generate(gan: GAN, state: GANState, labels: Labels, z: Float[Array, "n d"]) -> UnitImages:
    """Generate images; under `jit`, those with labels out of range are NaN."""
    check_labels(labels, gan.generator.num_classes)
    return symmetric_to_unit(_draw(gan, state, z, labels))


def _sample(gan: GAN, state: GANState, labels: Labels, key: Key[Array, ""]) -> UnitImages:
    noise = jax.random.normal(key, (labels.shape[0], gan.generator.latent_dim))
    return _generate(gan, state, labels, noise)


def _draw(gan: GAN, state: GANState, noise: Float[Array, "n d"], label: Labels) -> SymmetricImages:
    variables = state.generator.variables if gan.ema_decay is None else state.ema
    if gan.sample_statistics == "running":
        return _forward(gan, variables, noise, label, train=False)[0]
    num_images = label.shape[0]
    if num_images < NUM_TOGETHER:  # the statistics of one image would erase it
        other_noise, other_label = _other_inputs(gan, NUM_TOGETHER - num_images)
        noise = jnp.concatenate([noise, other_noise])
        label = jnp.concatenate([label, other_label])
    return _forward(gan, variables, noise, label, train=True)[0][:num_images]


def _random_inputs(
    gan: GAN, num_images: int, label_key: Key[Array, ""], noise_key: Key[Array, ""]
) -> tuple[Float[Array, "{num_images} d"], Int[Array, "{num_images}"]]:
    """Draw noise, and labels that are uniform over the classes."""
    label = jax.random.randint(label_key, (num_images,), 0, gan.generator.num_classes)
    return jax.random.normal(noise_key, (num_images, gan.generator.latent_dim)), label


def _other_inputs(
    gan: GAN, num_images: int
) -> tuple[Float[np.ndarray, "{num_images} d"], Int[np.ndarray, "{num_images}"]]:
    """Return noise and labels that are the same in every program and use no key."""
    noise = np.random.default_rng(0).standard_normal((num_images, gan.generator.latent_dim))
    label = np.arange(num_images, dtype=np.int32) % gan.generator.num_classes
    return noise.astype(np.float32), label


def _forward(
    gan: GAN, variables: PyTree, noise: Float[Array, "n d"], label: Labels, *, train: bool
) -> tuple[SymmetricImages, PyTree]:
    """Generate images; also return the updated running averages."""
    image, updates = gan.generator.apply(
        variables, noise, label, train=train, mutable=["batch_stats"]
    )
    return image, updates["batch_stats"]


def _logits(gan: GAN, params: PyTree, batch: Batch, dropout_key: Key[Array, ""] | None) -> Logits:
    """Apply the discriminator, without dropout if there is no key."""
    return gan.discriminator.apply(  # pyright: ignore[reportReturnType]
        {"params": params},
        *batch,
        train=dropout_key is not None,
        rngs=None if dropout_key is None else {"dropout": dropout_key},
    )
