"""The conditional GAN on colored shapes of 64x64 pixels, with convolutional networks.

    python -m experiments.cgan_shapes

A classifier recognizes 97 % of its samples, which vary in color and size. `--help` lists all
options.
"""

from jaxgen.commands.train import main
from jaxgen.recipes.cgan import RECIPE, Config
from jaxgen.runner.options import DataOptions, TrainingOptions

CONFIG = Config(
    model="conv",  # jaxgen.gan.convolutional: ConvGenerator, ConvDiscriminator
    latent_dim=32,
    objective="non-saturating",  # jaxgen.gan.objectives.non_saturating
    learning_rate=5e-4,  # of Adam with b1 = 0.5, for both networks
    ema_decay=0.99,  # samples come from a moving average of the generator
)
DATA = DataOptions(dataset="shapes", image_size=64)
TRAINING = TrainingOptions(epochs=30)

if __name__ == "__main__":
    main(RECIPE, CONFIG, data=DATA, training=TRAINING)
