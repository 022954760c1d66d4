"""The options of an evaluation."""

import dataclasses
from pathlib import Path
from typing import Literal

from jaxgen.errors import require_positive

Part = Literal["likelihood", "samples"]


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """What is evaluated."""

    parts: tuple[Part, ...] = ()
    """Parts of the evaluation; none: all that the model and the data allow."""
    seed: int = 0
    """Seed from which every PRNG key derives, also that of the binarization."""
    data_dir: Path | None = None
    """Directory of prepared sets of TensorFlow Datasets; None: that of the run."""
    manual_dir: Path | None = None
    """Directory with the original .gz files; None: that of the run."""
    num_members: int = 16
    """Members of a population to evaluate, evenly spaced among all."""

    def __post_init__(self) -> None:
        require_positive(**{"--num-members": self.num_members})


@dataclasses.dataclass(frozen=True)
class LikelihoodOptions:
    """The estimates of the likelihood."""

    num_images: int = 1000
    """Test images, chosen at random, for the importance-weighted bound."""
    num_importance_samples: int = 5000
    """Latent samples of each of these images."""
    annealing: bool = False
    """Also bracket the likelihood by annealed importance sampling, which takes several minutes for
    an MLP and hours for convolutions."""
    num_annealed: int = 50
    """Test images, and images simulated from the model, for annealed importance sampling."""
    num_chains: int = 16
    """Chains of each of these images."""
    num_temperatures: int = 500
    """Transitions of each chain."""

    def __post_init__(self) -> None:
        require_positive(
            **{
                "--num-images": self.num_images,
                "--num-importance-samples": self.num_importance_samples,
                "--num-annealed": self.num_annealed,
                "--num-chains": self.num_chains,
                "--num-temperatures": self.num_temperatures,
            }
        )


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """The comparison of samples with real images."""

    num_samples: int = 10_000
    """Samples to draw, with the labels of training images. Distances use at most as many as there
    are test images, so that real test images are judged alike."""
    features: Literal["classifier", "inception"] = "classifier"
    """Space of the distances: the hidden layer of a classifier trained on this data set, or the
    features of Inception by torch-fidelity, whose weights are downloaded."""
    nearest_k: int = 5
    """Neighbors that the balls of precision, recall, density and coverage reach to."""

    def __post_init__(self) -> None:
        require_positive(**{"--num-samples": self.num_samples, "--nearest-k": self.nearest_k})
