"""The course's convolutional VAE on colored shapes of 64x64 pixels.

    python -m experiments.vae_shapes

`python -m experiments.psnr RUN_DIR` compares its reconstructions with the mean training image: they
are 15 dB better. `--help` lists all options.
"""

from jaxgen.commands.train import main
from jaxgen.recipes.vae import RECIPE
from jaxgen.recipes.vae_config import Config
from jaxgen.runner.options import DataOptions, TrainingOptions

CONFIG = Config(
    model="conv",  # jaxgen.vae.models.ConvVAE: 32 64 128 256 512 channels, 128 latents
    objective="gaussian-fitted",  # jaxgen.vae.objectives.gaussian_fitted: one variance, fitted
    learning_rate=1e-3,  # of Adam, with a cosine decay to 10 %
)
DATA = DataOptions(dataset="shapes", image_size=64)
TRAINING = TrainingOptions(epochs=15)

if __name__ == "__main__":
    main(RECIPE, CONFIG, data=DATA, training=TRAINING)
