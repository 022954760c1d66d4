"""The one-layer VAE of the IWAE paper: 2 x 200 tanh units, 50 latents, 28x28 pixels.

    python -m experiments.iwae_mnist --dataset mnist --run-dir runs/iwae
    jaxgen evaluate runs/iwae --parts likelihood

takes 25 to 45 minutes of a CPU core, for a sixteenth of the paper's 3,280 epochs. The paper reaches
an NLL of 86.76 nats with k = 1 (Burda et al. 2016, table 1), also estimated from 5,000 samples
under dynamic binarization. `--bound iwae --num-samples 50` trains its IWAE.
"""

from jaxgen.commands.train import main
from jaxgen.recipes.vae import RECIPE, Config
from jaxgen.runner.options import DataOptions, TrainingOptions

CONFIG = Config(
    model="mlp",
    hidden_dims=(200, 200),
    activation="tanh",
    latent_dim=50,
    objective="bernoulli",
    final_learning_rate=0.01,  # the paper divides 1e-3 by 10 in seven steps
)
DATA = DataOptions(image_size=28)
TRAINING = TrainingOptions(batch_size=100, epochs=200)

if __name__ == "__main__":
    main(RECIPE, CONFIG, data=DATA, training=TRAINING)
