"""The course's conditional GAN on handwritten digits.

    python -m experiments.cgan_mnist

`--help` lists all options.
"""

from jaxgen.commands.train import main
from jaxgen.recipes.cgan import RECIPE, Config

CONFIG = Config(
    objective="non-saturating",  # jaxgen.gan.objectives.non_saturating
    learning_rate=2e-4,  # of Adam with b1 = 0.5, for both networks
    ema_decay=0.999,  # samples come from a moving average of the generator
)

if __name__ == "__main__":
    main(RECIPE, CONFIG)
