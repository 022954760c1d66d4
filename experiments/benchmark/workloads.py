"""The models and batches that the benchmarks train."""

from typing import Literal, NamedTuple

import numpy as np
from flax.typing import Dtype

from jaxgen.convolution import Implementation
from jaxgen.gan import objectives as gan_objectives
from jaxgen.gan.learner import Hypers as GANHypers
from jaxgen.gan.learner import cgan
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.training import loop
from jaxgen.types import Learner
from jaxgen.vae import objectives as vae_objectives
from jaxgen.vae.learner import Hypers as VAEHypers
from jaxgen.vae.learner import vae
from jaxgen.vae.models import MLPVAE, ConvVAE

KL_WEIGHT = 0.00025  # the course's
NUM_CLASSES = 10
CHUNK_STEPS = loop.CHUNK_LENGTHS[0]

WorkloadName = Literal["conv-vae", "conv-vae-64", "mlp-vae", "cgan"]


class Workload(NamedTuple):
    """A model, and the shape of the batches that it trains on."""

    model: Literal["conv VAE", "MLP VAE", "cGAN"]
    image_shape: tuple[int, int, int]  # height, width, channels
    batch_size: int

    @property
    def title(self) -> str:
        """The heading of a row in tables."""
        return f"{self.model} {'x'.join(map(str, self.image_shape))}, batch {self.batch_size}"

    @property
    def has_experiment(self) -> bool:
        """Whether an experiment trains on images of this size, that of padded digits."""
        return self.image_shape == (32, 32, 1)


WORKLOADS: dict[WorkloadName, Workload] = {
    "conv-vae": Workload("conv VAE", (32, 32, 1), 64),
    "conv-vae-64": Workload("conv VAE", (64, 64, 3), 64),
    "mlp-vae": Workload("MLP VAE", (32, 32, 1), 128),
    "cgan": Workload("cGAN", (32, 32, 1), 64),
}


def make_learner(
    workload: Workload, implementation: Implementation | None = None, dtype: Dtype | None = None
) -> tuple[Learner, VAEHypers | GANHypers]:
    """Create a learner, with convolutions in `implementation`, and its default hyperparameters."""
    shape = workload.image_shape
    if workload.model == "cGAN":
        networks = Generator(shape, dtype=dtype), Discriminator(shape, dtype=dtype)
        return cgan(*networks, gan_objectives.least_squares()), GANHypers()
    if workload.model == "MLP VAE":
        model = MLPVAE(shape, dtype=dtype)
        return vae(model, vae_objectives.course("sigmoid", KL_WEIGHT)), VAEHypers()
    model = ConvVAE(shape, implementation=implementation, dtype=dtype)
    return vae(model, vae_objectives.course("tanh", KL_WEIGHT)), VAEHypers()


def random_data(workload: Workload) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw random images and labels, and the indices for each step of a chunk."""
    rng = np.random.default_rng(0)
    num_images = CHUNK_STEPS * workload.batch_size
    images = rng.integers(0, 256, (num_images, *workload.image_shape), dtype=np.uint8)
    labels = rng.integers(0, NUM_CLASSES, num_images, dtype=np.int32)
    return images, labels, rng.permutation(num_images).reshape(-1, workload.batch_size)
