"""The course's conditional GAN on colored shapes of 64x64 pixels.

    python -m experiments.cgan_shapes

`--help` lists all options.
"""

from jaxgen.commands.train import main
from jaxgen.recipes.cgan import RECIPE, Config
from jaxgen.runner.options import DataOptions, TrainingOptions

CONFIG = Config(
    objective="non-saturating",  # jaxgen.gan.objectives.non_saturating
    learning_rate=2e-4,  # of Adam with b1 = 0.5, for both networks
    ema_decay=0.999,  # samples come from a moving average of the generator
)
DATA = DataOptions(dataset="shapes", image_size=64)
TRAINING = TrainingOptions(epochs=40)

if __name__ == "__main__":
    main(RECIPE, CONFIG, data=DATA, training=TRAINING)
