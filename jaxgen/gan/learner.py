"""The conditional GAN as a Learner: the generator's update, then the discriminator's."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8

from jaxgen.errors import InputError, require_positive
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.gan.objectives import Images, Labels, Logits, Objective, Penalty
from jaxgen.types import (
    Batch,
    Learner,
    Metrics,
    Optimizer,
    TrainState,
    create_train_state,
    traced_learning_rate,
)


class Hypers(NamedTuple):
    """What may differ between the members of a population."""

    generator_learning_rate: float | Float[Array, ""] = 2e-4
    discriminator_learning_rate: float | Float[Array, ""] = 2e-4
    penalty_weight: float | Float[Array, ""] = 10.0
    """The papers': lambda of `gradient_penalty`, gamma of `r1`."""


class GANState(NamedTuple):
    """Two networks and, if asked for, a moving average of the generator."""

    generator: TrainState
    discriminator: TrainState
    ema: PyTree
    """None, or variables like the generator's."""
    penalty_weight: Float[Array, ""]

    @property
    def step(self) -> Int[Array, "..."]:
        """How many learner steps it has seen, each with one update of the generator."""
        return self.generator.step


def adam(learning_rate: float | Array) -> optax.GradientTransformation:
    """Adam with b1 = 0.5, as in the course's original (Radford et al. 2016, sec. 4)."""
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
) -> Learner:
    """The course's training loop (spec, part 2, 4.3) as pure functions; hypers are `Hypers`.

    A step updates the generator once, then the discriminator `num_discriminator_steps` times: the
    batch is split among these, so that each sees new real images, and `step` raises InputError if
    that leaves a rest. The first takes the generator's own fakes, made before its update; later
    ones make new fakes, and the metrics are the last one's. The discriminator minimises
    (real + fake + penalty_weight * penalty) / 2: half of what the penalties' papers write.

    With `ema_decay`, `sample` and `evaluate` use a moving average of the generator. They normalise
    by the images drawn together ("batch", as in the course's pictures; wrong for few images or few
    classes, whose statistics are unlike any in training) or by the running averages ("running":
    no image depends on its neighbours; with `ema_decay`, poor for the first thousands of steps, as
    averaged weights spread less than the statistics averaged beside them).

    Raises InputError for options outside of their ranges.
    """
    require_positive(
        latent_dim=generator.latent_dim, num_discriminator_steps=num_discriminator_steps
    )
    for network in (generator, discriminator):
        require_positive(hidden_dims=network.hidden_dims)
    for name, share in {"label_smoothing": label_smoothing, "ema_decay": ema_decay}.items():
        if share is not None and not 0 <= share < 1:
            raise InputError(f"{name} must be from 0 to below 1, and is {share}.")
    tx = traced_learning_rate(optimizer)

    def init(key: Key[Array, ""], hypers: Hypers) -> GANState:
        generator_key, discriminator_key = jax.random.split(key)
        noise, label = jnp.zeros((1, generator.latent_dim)), jnp.zeros(1, jnp.int32)
        image = jnp.zeros((1, *discriminator.image_shape))
        g_variables = generator.init(generator_key, noise, label, train=False)
        d_variables = discriminator.init(discriminator_key, image, label, train=False)
        g_rate, d_rate = hypers.generator_learning_rate, hypers.discriminator_learning_rate
        return GANState(
            generator=create_train_state(generator.apply, g_variables, tx, g_rate),
            discriminator=create_train_state(discriminator.apply, d_variables, tx, d_rate),
            # a copy, or donating the state would donate these buffers twice
            ema=None if ema_decay is None else jax.tree.map(jnp.copy, g_variables),
            penalty_weight=jnp.array(hypers.penalty_weight, jnp.float32),
        )

    def forward(
        variables: PyTree, label: Labels, noise: Float[Array, "b d"], *, train: bool
    ) -> tuple[Images, PyTree]:
        """Images in [-1, 1], and the running averages after them."""
        image, updates = generator.apply(
            variables, noise, label, train=train, mutable=["batch_stats"]
        )
        return image, updates["batch_stats"]

    def random_noise(key: Key[Array, ""], num: int) -> Float[Array, "{num} d"]:
        return jax.random.normal(key, (num, generator.latent_dim))

    def random_labels(key: Key[Array, ""], num: int) -> Labels:
        return jax.random.randint(key, (num,), 0, generator.num_classes)

    def logits_of(params: PyTree, batch: Batch, dropout_key: Key[Array, ""] | None) -> Logits:
        """Without a key, nothing drops out."""
        return discriminator.apply(  # pyright: ignore[reportReturnType]
            {"params": params},
            *batch,
            train=dropout_key is not None,
            rngs=None if dropout_key is None else {"dropout": dropout_key},
        )

    def update_generator(
        state: GANState, num_fakes: int, key: Key[Array, ""]
    ) -> tuple[TrainState, Batch, Metrics]:
        label_key, noise_key, dropout_key = jax.random.split(key, 3)
        label, noise = random_labels(label_key, num_fakes), random_noise(noise_key, num_fakes)
        old = state.generator

        def loss_fn(params: PyTree):
            variables = {"params": params, "batch_stats": old.batch_stats}
            image, batch_stats = forward(variables, label, noise, train=True)
            fake = Batch(image, label)
            logits = logits_of(state.discriminator.params, fake, dropout_key)
            return objective.generator(logits).mean(), (fake, batch_stats)

        (loss, (fake, batch_stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(old.params)
        new = old.apply_gradients(grads=grads, batch_stats=batch_stats)
        metrics = {"generator_loss": loss, "generator_grad_norm": optax.tree.norm(grads)}
        return new, fake, metrics

    def update_discriminator(
        old: TrainState, real: Batch, fake: Batch, penalty_weight: Array, key: Key[Array, ""]
    ) -> tuple[TrainState, Metrics]:
        dropout_key, critic_key, penalty_key = jax.random.split(key, 3)
        both = Batch(*(jnp.concatenate(pair) for pair in zip(real, fake, strict=True)))

        def loss_fn(params: PyTree):
            def critic(image: Images) -> Logits:
                # A penalty asks about images only; labels are those of the real ones.
                return logits_of(params, Batch(image, real.label), critic_key)

            real_logits, fake_logits = jnp.split(logits_of(params, both, dropout_key), 2)
            loss = objective.discriminator(real_logits, fake_logits, label_smoothing).mean()
            metrics = {
                "discriminator_loss": loss,
                "d_real": objective.score(real_logits).mean(),
                "d_fake": objective.score(fake_logits).mean(),
            }
            if penalty is not None:
                metrics["penalty"] = penalty(critic, real.image, fake.image, penalty_key).mean()
                loss += penalty_weight * metrics["penalty"] / 2
            return loss, metrics

        grads, metrics = jax.grad(loss_fn, has_aux=True)(old.params)
        metrics["discriminator_grad_norm"] = optax.tree.norm(grads)
        return old.apply_gradients(grads=grads), metrics

    def step(state: GANState, batch: Batch, key: Key[Array, ""]) -> tuple[GANState, Metrics]:
        num_images, rest = divmod(batch.label.shape[0], num_discriminator_steps)
        if rest:
            raise InputError(
                f"A batch of {batch.label.shape[0]} cannot be split evenly among "
                f"{num_discriminator_steps} discriminator steps: use a multiple of these."
            )
        generator_key, *part_keys = jax.random.split(key, 1 + num_discriminator_steps)
        new_generator, fake, metrics = update_generator(state, num_images, generator_key)
        new_discriminator = state.discriminator
        for i, part_key in enumerate(part_keys):
            label_key, noise_key, update_key = jax.random.split(part_key, 3)
            if i > 0:
                label = random_labels(label_key, num_images)
                noise = random_noise(noise_key, num_images)
                image, _ = forward(new_generator.variables, label, noise, train=True)
                fake = Batch(image, label)
            image, label = (x[i * num_images : (i + 1) * num_images] for x in batch)
            new_discriminator, new_metrics = update_discriminator(
                new_discriminator,
                Batch(scale(image), label),
                fake,
                state.penalty_weight,
                update_key,
            )
            metrics |= new_metrics
        ema = state.ema
        if ema_decay is not None:
            ema = optax.incremental_update(new_generator.variables, ema, 1 - ema_decay)
        return GANState(new_generator, new_discriminator, ema, state.penalty_weight), metrics

    def draw(state: GANState, label: Labels, noise: Float[Array, "b d"]) -> Images:
        variables = state.generator.variables if ema_decay is None else state.ema
        return forward(variables, label, noise, train=sample_statistics == "batch")[0]

    def evaluate(state: GANState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """Without dropout and label smoothing; as many fakes as `sample` would draw them."""
        label_key, noise_key = jax.random.split(key)
        label = random_labels(label_key, batch.label.shape[0])
        noise = random_noise(noise_key, len(label))
        fake = Batch(draw(state, label, noise), label)
        real = Batch(scale(batch.image), batch.label)
        real_logits = logits_of(state.discriminator.params, real, None)
        fake_logits = logits_of(state.discriminator.params, fake, None)
        return {
            "generator_loss": objective.generator(fake_logits),
            "discriminator_loss": objective.discriminator(real_logits, fake_logits),
            "d_real": objective.score(real_logits),
            "d_fake": objective.score(fake_logits),
        }

    def generate(state: GANState, labels: Labels, z: Float[Array, "b d"]) -> Images:
        return (draw(state, labels, z) + 1) / 2

    def sample(state: GANState, labels: Labels, key: Key[Array, ""]) -> Images:
        return generate(state, labels, random_noise(key, len(labels)))

    return Learner(init, step, evaluate, generate, sample)


def scale(image: UInt8[Array, "b h w c"]) -> Images:
    """0...255 to [-1, 1], the range of the generator's tanh."""
    return image / 127.5 - 1
