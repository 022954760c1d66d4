"""What a trained classifier sees in images: features for distances, and classes."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxgen.evaluation import classifier
from jaxgen.evaluation.classifier import Classifier
from jaxgen.pixels import to_unit
from jaxgen.types import Batch, UnitImages

Pixels = UInt8[Array | np.ndarray, "n h w c"]

BATCH_SIZE = 500


class TrainedClassifier(NamedTuple):
    """A classifier with its parameters, applied to any number of images on the host."""

    model: Classifier
    params: PyTree

    def features(self, image: Pixels) -> Float[np.ndarray, "n d"]:
        """Compute the activations of the hidden layer."""
        return _by_batch(partial(classifier.features, self.model), self.params, image)

    def recognizes(self, images: Batch) -> Float[np.ndarray, "n"]:
        """Return 1 for each image that is classified as its label, and 0 for the others."""
        logits = _by_batch(partial(classifier.predict, self.model), self.params, images.image)
        return (logits.argmax(-1) == np.asarray(images.label)).astype(np.float64)


def _by_batch(
    function: Callable[[PyTree, UnitImages], Float[Array, "n d"]], params: PyTree, image: Pixels
) -> Float[np.ndarray, "n d"]:
    compute = jax.jit(lambda params, image: function(params, to_unit(image)))
    starts = range(0, len(image), BATCH_SIZE)
    return np.concatenate([compute(params, image[s : s + BATCH_SIZE]) for s in starts])
