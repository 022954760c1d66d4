"""The pictures of a run's latent space that its model can draw."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, Shaped
from matplotlib.figure import Figure

from jaxgen.pictures import latent_space
from jaxgen.runner.load import Run
from jaxgen.types import Batch

BATCH_SIZE = 128  # one size, so that one program serves all pictures
NUM_ENCODED = 1000  # test images
NUM_PAIRS = 4
NUM_NOISES = 10
MAX_CLASSES = 20


class Drawing(NamedTuple):
    """A picture that has not been drawn yet."""

    title: str
    caption: str
    draw: Callable[[], Figure]


def drawings(run: Run, test: Batch | None) -> Iterator[Drawing]:
    """Choose the pictures of a single run that its functions and its data allow."""
    learner, names = run.learner, run.facts.class_names
    if learner.encode is not None and learner.reconstruct is not None and test is not None:
        yield from _of_codes(run, test)
    if learner.latent_dim is None:
        return
    noise = np.random.default_rng(0).standard_normal((NUM_NOISES, learner.latent_dim))
    noise = noise.astype(np.float32)
    if learner.num_classes is None:
        yield from _of_prior(run, noise)
        return

    def generate(z: Float[np.ndarray, "n d"], labels: Int[np.ndarray, "n"]) -> latent_space.Images:
        return run.generate(z, labels.tolist())

    shown = names[:MAX_CLASSES]
    some = f"The first {len(shown)} of {len(names)} classes. " if len(shown) < len(names) else ""
    yield Drawing(
        "Classes",
        f"{some}A row for each class; the images of a column share their noise.",
        lambda: latent_space.classes(partial(_in_batches, generate), noise, shown),
    )
    pair_names = [names[label] for label in _spread_labels(len(names), NUM_PAIRS)]
    yield Drawing(
        "Interpolation of noise",
        "Between random noises, within a class: straight, and along a great circle.",
        lambda: latent_space.interpolations(
            lambda z: _in_batches(generate, z, _spread_labels(len(names), len(z))),
            *_pairs(noise),
            pair_names,
        ),
    )
    mixture = partial(_in_batches, run.generate_mixture)
    yield Drawing(
        "Interpolation between classes",
        f"{some}From each class to the next, all from the same noise.",
        lambda: latent_space.class_interpolation(
            lambda weights, z: mixture(_widen(weights, len(names)), z), noise[0], shown
        ),
    )


def png(figure: Figure) -> bytes:
    """Write a figure as PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _of_codes(run: Run, test: Batch) -> Iterator[Drawing]:
    images, label = np.asarray(test.image[:NUM_ENCODED]), np.asarray(test.label[:NUM_ENCODED])
    mean, logvar = _in_batches(run.encode, images)
    names, generate = run.facts.class_names, _generate(run)
    yield Drawing(
        "Most active latents",
        "Each row varies one latent dimension, starting at the code of a test image. The rows are "
        "ordered by Cov(E[z | x]) (Burda et al. 2016); the KL is the mean over "
        f"{len(images)} test images.",
        lambda: latent_space.traversals(generate, mean, logvar),
    )
    yield Drawing(
        "Interpolation between test images",
        "Between the codes of two test images: straight, and along a great circle.",
        lambda: latent_space.interpolations(generate, *_pairs(mean)),
    )
    if mean.shape[1] > 1:
        yield Drawing(
            "Codes of the test set",
            f"The posterior means of {len(images)} test images, projected onto their principal "
            "components" + (", by class." if len(names) > 1 else "."),
            lambda: latent_space.projection(mean, label, names),
        )
    yield Drawing(
        "Reconstructions from best to worst",
        f"Out of {len(images)} test images, evenly spaced by the root of the mean squared error of "
        "their pixels.",
        lambda: latent_space.best_to_worst(images / 255, _in_batches(run.reconstruct, images)),
    )


def _of_prior(run: Run, noise: Float[np.ndarray, "n d"]) -> Iterator[Drawing]:
    yield Drawing(
        "Samples at several temperatures",
        "The images of a column share their noise, which the temperature scales; 1 is the prior.",
        lambda: latent_space.temperatures(_generate(run), noise),
    )
    if noise.shape[1] == 2:
        yield Drawing(
            "The latent plane",
            "Images at the quantiles of the prior, so that equal areas are equally probable.",
            lambda: latent_space.manifold(_generate(run)),
        )


def _generate(run: Run) -> latent_space.Generate:
    return partial(_in_batches, run.generate)


def _pairs(
    z: Float[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, "m d"]]:
    num = min(NUM_PAIRS, len(z) // 2)
    return z[0 : 2 * num : 2], z[1 : 2 * num : 2]


def _spread_labels(num_classes: int, num: int) -> Int[np.ndarray, "{num}"]:
    """Give each pair a class; many images of one class would distort BatchNorm's statistics."""
    classes = np.linspace(0, num_classes - 1, NUM_PAIRS).round().astype(np.int32)
    return np.repeat(classes, num // NUM_PAIRS)


def _widen(weights: Float[np.ndarray, "n c"], num_classes: int) -> Float[np.ndarray, "n k"]:
    return np.pad(weights, ((0, 0), (0, num_classes - weights.shape[1])))


def _in_batches(function: Callable, *arrays: Shaped[np.ndarray, "n ..."]) -> Any:
    """Apply a function to BATCH_SIZE rows at a time; the last batch repeats rows."""
    num = len(arrays[0])
    results = []
    for start in range(0, num, BATCH_SIZE):
        rows = np.arange(start, start + BATCH_SIZE) % num
        results.append(function(*(_single(array)[rows] for array in arrays)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:num], *results)


def _single(array: Shaped[np.ndarray, "n ..."]) -> Shaped[np.ndarray, "n ..."]:
    """Convert float64, which JAX would truncate with a warning, to float32."""
    return array.astype(np.float32) if array.dtype == np.float64 else array
