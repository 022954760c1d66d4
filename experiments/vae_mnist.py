"""The course's convolutional VAE on handwritten digits.

    python -m experiments.vae_mnist

`--model mlp` trains the course's MLP instead, and `--help` lists all options.
"""

from jaxgen.commands.train import main
from jaxgen.recipes.vae import RECIPE, Config

CONFIG = Config(
    model="conv",  # jaxgen.vae.models.ConvVAE: 32 64 128 256 512 channels, 128 latents
    objective=None,  # by the data; for digits jaxgen.vae.objectives.bernoulli: the ELBO in nats
    learning_rate=1e-3,  # of Adam, with a cosine decay to 10 %
)

if __name__ == "__main__":
    main(RECIPE, CONFIG)
