"""The training algorithm of the VAE as a Learner."""

import math
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8

from jaxgen.errors import require_positive
from jaxgen.networks import check_image_shape
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
from jaxgen.vae.check import check_model
from jaxgen.vae.likelihoods import (
    bits_per_dim,
    gaussian_kl,
    importance_weighted_bound,
    log_density_ratio,
    log_standard_normal,
)
from jaxgen.vae.models import EncoderDecoder, VAEOutput, forward
from jaxgen.vae.objectives import FittedObjective, Objective


class Hypers(NamedTuple):
    """Hyperparameters, which may differ between the members of a population."""

    learning_rate: Scalar = 1e-3
    kl_weight: Scalar = 1.0
    """Factor on the KL: beta (Higgins et al. 2017)."""


class VAEState(NamedTuple):
    """The state of a VAE's network, the weight of its KL term, and a fitted variance."""

    network: TrainState
    kl_weight: Float[Array, ""]
    variance: Float[Array, ""] | None = None
    """Running average of a `FittedObjective`'s variance, 1 before the first update."""

    @property
    def step(self) -> Int[Array, "..."]:
        """The number of updates so far."""
        return self.network.step


VARIANCE_DECAY = 0.99


def vae(
    model: EncoderDecoder,
    objective: Objective | FittedObjective,
    *,
    bound: Literal["elbo", "iwae"] = "elbo",
    num_samples: int = 1,
    optimizer: Optimizer = optax.adam,
    kl_schedule: optax.Schedule = optax.constant_schedule(1.0),
) -> Learner[VAEState, Hypers]:
    """A VAE that maximizes the ELBO or the importance-weighted bound over `num_samples` latents.

    `kl_schedule` maps the step to a factor on the KL weight; `optax.linear_schedule(0, 1, steps)`
    is a warm-up. Metrics in nats do not weight the KL: `reconstruction_nats` is -log p(x | z), and
    `negative_elbo_nats` adds `kl_nats`. For likelihoods of 8-bit pixels, `bits_per_dim` is the
    latter in bits per pixel and channel. Raises InputError for sizes and numbers that are not
    positive, for a model that is no `EncoderDecoder`, and if model and objective disagree.
    """
    require_positive(num_samples=num_samples)
    fixed = objective if isinstance(objective, Objective) else objective.given(1.0)
    check_model(model, fixed.num_outputs)
    transformation = traced_learning_rate(optimizer)

    def likelihood(state: VAEState) -> Objective:
        if isinstance(objective, Objective) or state.variance is None:
            return fixed
        return objective.given(state.variance)

    def observe(image: UInt8[Array, "b h w c"], key: Key[Array, ""]) -> Float[Array, "b h w c"]:
        check_image_shape(image, model.image_shape)
        return fixed.observe(image, key)

    def to_bits(nll: Float[Array, "..."]) -> Float[Array, "..."]:
        assert fixed.level is not None
        return bits_per_dim(nll, math.prod(model.image_shape), fixed.level)

    def init(key: Key[Array, ""], hypers: Hypers) -> VAEState:
        params_key, latent_key = jax.random.split(key)
        image = jnp.zeros((1, *model.image_shape))
        variables = model.init(params_key, image, latent_key, train=False, method=forward)
        network = create_train_state(model.apply, variables, transformation, hypers.learning_rate)
        variance = None if isinstance(objective, Objective) else jnp.ones(())
        return VAEState(network, jnp.asarray(hypers.kl_weight, jnp.float32), variance)

    def losses(
        likelihood: Objective, out: VAEOutput, x: Float[Array, "b h w c"], kl_weight: Scalar
    ) -> Metrics:
        kl = gaussian_kl(out.mean, out.logvar)
        reconstruction = jax.vmap(likelihood.reconstruction, (0, None))(out.output, x)
        metrics = {"reconstruction_nats": reconstruction.mean(0), "kl_nats": kl}
        if bound == "elbo":
            loss = jax.vmap(likelihood.loss, (0, None, None))(out.output, x, kl_weight * kl).mean(0)
        else:
            log_ratio = log_density_ratio(out.z, out.mean, out.logvar)
            loss = -importance_weighted_bound(-reconstruction + kl_weight * log_ratio)
            metrics["negative_iwae_nats"] = -importance_weighted_bound(-reconstruction + log_ratio)
        negative_elbo = reconstruction.mean(0) + kl
        if likelihood.level is not None:
            metrics["bits_per_dim"] = to_bits(negative_elbo)
        return {"loss": loss, "negative_elbo_nats": negative_elbo, **metrics}

    def step(state: VAEState, batch: Batch, key: Key[Array, ""]) -> tuple[VAEState, Metrics]:
        observe_key, latent_key, network_key = jax.random.split(key, 3)
        x = observe(batch.image, observe_key)
        kl_weight = state.kl_weight * kl_schedule(state.step)
        network = state.network

        def loss_fn(params: PyTree):
            out, updates = model.apply(
                {**network.variables, "params": params},
                x,
                latent_key,
                train=True,
                num_samples=num_samples,
                mutable=network.mutable,
                rngs=network_key,
                method=forward,
            )
            own, variance = fixed, None
            if not isinstance(objective, Objective):
                variance = jax.vmap(objective.estimate, (0, None))(out.output, x).mean()
                # At the optimum the loss does not depend on the variance to first order.
                own = objective.given(jax.lax.stop_gradient(variance))
            metrics = jax.tree.map(jnp.mean, losses(own, out, x, kl_weight))
            return metrics["loss"], (metrics, updates, variance)

        grads, (metrics, updates, variance) = jax.grad(loss_fn, has_aux=True)(network.params)
        metrics |= {"grad_norm": optax.tree.norm(grads), "kl_weight": kl_weight}
        if variance is not None and state.variance is not None:
            metrics["variance"] = variance
            decay = jnp.where(state.step == 0, 0.0, VARIANCE_DECAY)
            variance = decay * state.variance + (1 - decay) * variance
        network = network.apply_gradients(grads=grads).replace_variables(updates)
        return VAEState(network, state.kl_weight, variance), metrics

    def forward_without_training(
        state: VAEState, x: Float[Array, "b h w c"], key: Key[Array, ""], k: int = num_samples
    ) -> VAEOutput:
        return model.apply(
            state.network.variables, x, key, train=False, num_samples=k, method=forward
        )

    def decode(state: VAEState, z: Float[Array, "n d"]) -> Float[Array, "n h w o"]:
        return model.apply(state.network.variables, z, train=False, method="decode")

    def evaluate(state: VAEState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        observe_key, latent_key = jax.random.split(key)
        x = observe(batch.image, observe_key)
        out = forward_without_training(state, x, latent_key)
        return losses(likelihood(state), out, x, state.kl_weight)

    def generate(state: VAEState, labels: Labels, z: Float[Array, "n d"]) -> UnitImages:
        """Compute the expected images E[x | z]; the labels are ignored."""
        return likelihood(state).mean(decode(state, z))

    def sample(state: VAEState, labels: Labels, key: Key[Array, ""]) -> UnitImages:
        """Generate from z ~ N(0, I), one for each label (course, sec. 3.7)."""
        z = jax.random.normal(key, (labels.shape[0], model.latent_dim))
        return generate(state, labels, z)

    def reconstruct(
        state: VAEState, image: UInt8[Array, "b h w c"], key: Key[Array, ""]
    ) -> UnitImages:
        """Decode one z ~ q(z | x) for each image (`generate` in the course, sec. 3.8)."""
        observe_key, latent_key = jax.random.split(key)
        x = observe(image, observe_key)
        out = forward_without_training(state, x, latent_key)
        return likelihood(state).mean(out.output[0])

    def encode(
        state: VAEState, image: UInt8[Array, "b h w c"], key: Key[Array, ""]
    ) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
        """Compute mean and log-variance of q(z | x); the key is that of `Objective.observe`."""
        x = observe(image, key)
        return model.apply(state.network.variables, x, train=False, method="encode")

    def log_weights(
        state: VAEState, x: Float[Array, "b h w c"], key: Key[Array, ""], k: int
    ) -> Float[Array, "k b"]:
        """Compute log p(x, z) - log q(z | x) in nats for k samples z ~ q(z | x)."""
        out = forward_without_training(state, x, key, k)
        reconstruction = jax.vmap(likelihood(state).reconstruction, (0, None))(out.output, x)
        return log_density_ratio(out.z, out.mean, out.logvar) - reconstruction

    def log_joint(
        state: VAEState, x: Float[Array, "b h w c"], z: Float[Array, "b d"]
    ) -> Float[Array, "b"]:
        """Compute log p(x, z) in nats."""
        return log_standard_normal(z) - likelihood(state).reconstruction(decode(state, z), x)

    def simulate(
        state: VAEState, z: Float[Array, "b d"], key: Key[Array, ""]
    ) -> Float[Array, "b h w c"]:
        """Draw x ~ p(x | z)."""
        return likelihood(state).simulate(decode(state, z), key)

    return Learner(
        init=init,
        step=step,
        evaluate=evaluate,
        generate=generate,
        sample=sample,
        reconstruct=reconstruct,
        encode=encode,
        observe=observe,
        log_weights=log_weights,
        log_joint=log_joint,
        simulate=simulate,
        latent_dim=model.latent_dim,
        bits_per_dim=None if fixed.level is None else to_bits,
    )
