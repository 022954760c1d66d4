"""A VAE with a linear Gaussian decoder, whose likelihood and posterior are known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from jaxgen.pixels import to_unit
from jaxgen.vae import MLPVAE, Hypers, vae
from jaxgen.vae.likelihoods import gaussian_nll, gaussian_sample
from jaxgen.vae.objectives import Objective

SHAPE = (3, 2, 1)
NUM_PIXELS, LATENT_DIM = 6, 2
VARIANCE = 0.3


def linear_gaussian():
    """Pixels with the decoder's output as mean."""
    logvar = jnp.log(VARIANCE)

    def reconstruction(output, x):
        return gaussian_nll(output, logvar, x)

    return Objective(
        observe=lambda image, key: to_unit(image),
        mean=lambda output: output,
        reconstruction=reconstruction,
        loss=lambda output, x, kl: reconstruction(output, x) + kl,
        simulate=lambda output, key: gaussian_sample(output, logvar, key),
    )


def linear_vae():
    """The learner, and a state whose q(z | x) is a wide and shifted version of the posterior."""
    learner = vae(MLPVAE(SHAPE, LATENT_DIM, hidden_dims=()), linear_gaussian())
    state = jax.jit(learner.init)(jax.random.key(0), Hypers())
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(LATENT_DIM, NUM_PIXELS))
    bias = rng.normal(size=NUM_PIXELS)
    precision = np.eye(LATENT_DIM) + kernel @ kernel.T / VARIANCE
    encoder = np.linalg.solve(precision, kernel / VARIANCE).T  # of the exact posterior mean
    params = state.network.params | {
        "final": {"kernel": kernel, "bias": bias},
        "fc_mean": {"kernel": encoder, "bias": 0.3 - bias @ encoder},
        "fc_logvar": {
            "kernel": np.zeros((NUM_PIXELS, LATENT_DIM)),
            "bias": np.log(2 * np.diag(np.linalg.inv(precision))),
        },
    }
    params = jax.tree.map(jnp.float32, params)
    return learner, state._replace(network=state.network.replace(params=params))


def exact_log_likelihood(state, x):
    """log N(x; bias, W W^T + variance) of each image, in float64."""
    final = jax.tree.map(lambda leaf: np.asarray(leaf, float), state.network.params["final"])
    covariance = final["kernel"].T @ final["kernel"] + VARIANCE * np.eye(NUM_PIXELS)
    return scipy.stats.multivariate_normal(final["bias"], covariance).logpdf(
        np.asarray(x, float).reshape(len(x), -1)
    )


def simulated(learner, state, num_images):
    """Images drawn from the model, and their latents."""
    z = jax.random.normal(jax.random.key(1), (num_images, LATENT_DIM))
    return learner.simulate(state, z, jax.random.key(2)), z
