"""The training algorithm of the VAE as a Learner."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, UInt8

from jaxgen.errors import require_positive
from jaxgen.types import (
    Batch,
    Labels,
    Learner,
    Metrics,
    Optimizer,
    Scalar,
    TrainState,
    UnitImages,
    create_train_state,
    traced_learning_rate,
)
from jaxgen.vae.models import MLPVAE, ConvVAE, VAEOutput
from jaxgen.vae.objectives import (
    Objective,
    gaussian_kl,
    importance_weighted_bound,
    log_density_ratio,
    log_standard_normal,
)


class Hypers(NamedTuple):
    """Hyperparameters, which may differ between the members of a population."""

    learning_rate: Scalar = 1e-3
    kl_weight: Scalar = 1.0
    """Factor on the KL: beta (Higgins et al. 2017)."""


class VAEState(NamedTuple):
    """The state of a VAE's network, and the weight of its KL term."""

    network: TrainState
    kl_weight: Float[Array, ""]

    @property
    def step(self) -> Int[Array, "..."]:
        """The number of updates so far."""
        return self.network.step


def vae(
    model: ConvVAE | MLPVAE,
    objective: Objective,
    *,
    bound: Literal["elbo", "iwae"] = "elbo",
    num_samples: int = 1,
    optimizer: Optimizer = optax.adam,
    kl_schedule: optax.Schedule = optax.constant_schedule(1.0),
) -> Learner[VAEState, Hypers]:
    """A VAE that maximizes the ELBO or the importance-weighted bound over `num_samples` latents.

    `kl_schedule` maps the step to a factor on the KL weight; `optax.linear_schedule(0, 1, steps)`
    is a warm-up. Metrics in nats do not weight the KL: `reconstruction_nats` is -log p(x | z), and
    `negative_elbo_nats` adds `kl_nats`. Raises InputError for sizes and numbers that are not
    positive.
    """
    require_positive(
        latent_dim=model.latent_dim, hidden_dims=model.hidden_dims, num_samples=num_samples
    )
    transformation = traced_learning_rate(optimizer)

    def init(key: Key[Array, ""], hypers: Hypers) -> VAEState:
        params_key, latent_key = jax.random.split(key)
        image = jnp.zeros((1, *model.image_shape))
        variables = model.init(params_key, image, latent_key, train=False)
        network = create_train_state(model.apply, variables, transformation, hypers.learning_rate)
        return VAEState(network, jnp.asarray(hypers.kl_weight, jnp.float32))

    def losses(out: VAEOutput, x: Float[Array, "b h w c"], kl_weight: Scalar) -> Metrics:
        kl = gaussian_kl(out.mean, out.logvar)
        reconstruction = jax.vmap(objective.reconstruction, (0, None))(out.output, x)
        metrics = {"reconstruction_nats": reconstruction.mean(0), "kl_nats": kl}
        if bound == "elbo":
            loss = jax.vmap(objective.loss, (0, None, None))(out.output, x, kl_weight * kl).mean(0)
        else:
            log_ratio = log_density_ratio(out.z, out.mean, out.logvar)
            loss = -importance_weighted_bound(-reconstruction + kl_weight * log_ratio)
            metrics["negative_iwae_nats"] = -importance_weighted_bound(-reconstruction + log_ratio)
        return {"loss": loss, "negative_elbo_nats": reconstruction.mean(0) + kl, **metrics}

    def step(state: VAEState, batch: Batch, key: Key[Array, ""]) -> tuple[VAEState, Metrics]:
        observe_key, latent_key = jax.random.split(key)
        x = objective.observe(batch.image, observe_key)
        kl_weight = state.kl_weight * kl_schedule(state.step)

        def loss_fn(params):
            out, updates = model.apply(
                {**state.network.variables, "params": params},
                x,
                latent_key,
                train=True,
                num_samples=num_samples,
                mutable=["batch_stats"],
            )
            metrics = jax.tree.map(jnp.mean, losses(out, x, kl_weight))
            return metrics["loss"], (metrics, updates)

        grads, (metrics, updates) = jax.grad(loss_fn, has_aux=True)(state.network.params)
        network = state.network.apply_gradients(
            grads=grads, batch_stats=updates.get("batch_stats", {})
        )
        metrics |= {"grad_norm": optax.tree.norm(grads), "kl_weight": kl_weight}
        return state._replace(network=network), metrics

    def forward(
        state: VAEState, x: Float[Array, "b h w c"], key: Key[Array, ""], k: int = num_samples
    ) -> VAEOutput:
        return model.apply(  # pyright: ignore[reportReturnType]
            state.network.variables, x, key, train=False, num_samples=k
        )

    def decode(state: VAEState, z: Float[Array, "n d"]) -> Float[Array, "n h w o"]:
        return model.apply(  # pyright: ignore[reportReturnType]
            state.network.variables, z, train=False, method="decode"
        )

    def evaluate(state: VAEState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        observe_key, latent_key = jax.random.split(key)
        x = objective.observe(batch.image, observe_key)
        return losses(forward(state, x, latent_key), x, state.kl_weight)

    def generate(state: VAEState, labels: Labels, z: Float[Array, "n d"]) -> UnitImages:
        """Compute the expected images E[x | z]; the labels are ignored."""
        return objective.mean(decode(state, z))

    def sample(state: VAEState, labels: Labels, key: Key[Array, ""]) -> UnitImages:
        """Generate from z ~ N(0, I), one for each label (course, sec. 3.7)."""
        z = jax.random.normal(key, (labels.shape[0], model.latent_dim))
        return generate(state, labels, z)

    def reconstruct(
        state: VAEState, image: UInt8[Array, "b h w c"], key: Key[Array, ""]
    ) -> UnitImages:
        """Decode one z ~ q(z | x) for each image (`generate` in the course, sec. 3.8)."""
        observe_key, latent_key = jax.random.split(key)
        x = objective.observe(image, observe_key)
        return objective.mean(forward(state, x, latent_key).output[0])

    def encode(
        state: VAEState, image: UInt8[Array, "b h w c"], key: Key[Array, ""]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Compute mean and log-variance of q(z | x); the key serves random binarization."""
        x = objective.observe(image, key)
        return model.apply(  # pyright: ignore[reportReturnType]
            state.network.variables, x, train=False, method="encode"
        )

    def log_weights(
        state: VAEState, x: Float[Array, "b h w c"], key: Key[Array, ""], k: int
    ) -> Float[Array, "k b"]:
        """Compute log p(x, z) - log q(z | x) in nats for k samples z ~ q(z | x)."""
        out = forward(state, x, key, k)
        reconstruction = jax.vmap(objective.reconstruction, (0, None))(out.output, x)
        return log_density_ratio(out.z, out.mean, out.logvar) - reconstruction

    def log_joint(
        state: VAEState, x: Float[Array, "b h w c"], z: Float[Array, "b d"]
    ) -> Float[Array, "b"]:
        """Compute log p(x, z) in nats."""
        return log_standard_normal(z) - objective.reconstruction(decode(state, z), x)

    def simulate(
        state: VAEState, z: Float[Array, "b d"], key: Key[Array, ""]
    ) -> Float[Array, "b h w c"]:
        """Draw x ~ p(x | z)."""
        return objective.simulate(decode(state, z), key)

    return Learner(
        init=init,
        step=step,
        evaluate=evaluate,
        generate=generate,
        sample=sample,
        reconstruct=reconstruct,
        encode=encode,
        observe=objective.observe,
        log_weights=log_weights,
        log_joint=log_joint,
        simulate=simulate,
    )
