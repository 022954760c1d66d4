"""The course's conditional GAN on Fashion-MNIST.

    python -m experiments.cgan_fashion_mnist --manual-dir /usr/share/datasets/fashion-mnist

Debian's package `dataset-fashion-mnist` installs the original files there.
"""

from jaxgen.commands.train import main
from jaxgen.recipes.cgan import RECIPE, Config
from jaxgen.runner.options import DataOptions

CONFIG = Config(
    objective="non-saturating",  # jaxgen.gan.objectives.non_saturating
    learning_rate=2e-4,  # of Adam with b1 = 0.5, for both networks
    ema_decay=0.999,  # samples come from a moving average of the generator
)
DATA = DataOptions(dataset="fashion_mnist")

if __name__ == "__main__":
    main(RECIPE, CONFIG, data=DATA)
