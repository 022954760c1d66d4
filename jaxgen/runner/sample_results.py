"""Evaluate samples of a model and, alike, real test images against real training images."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree, UInt8
from rich.progress import Progress

from jaxgen.errors import InputError
from jaxgen.evaluation import distances, neighbors
from jaxgen.evaluation.accuracy_score import accuracy_score
from jaxgen.evaluation.features import TrainedClassifier
from jaxgen.interop import fidelity
from jaxgen.pixels import to_uint8
from jaxgen.runner.evaluation_options import SampleOptions
from jaxgen.runner.progress import stage, track
from jaxgen.types import Batch, Learner

Row = dict[str, object]  # the figures of the samples, or of the real test set
Pixels = UInt8[Array | np.ndarray, "_ h w c"]
Features = Float[np.ndarray, "_ d"]

BATCH_SIZE = 500
MIN_IMAGES = 50  # in each set
NUM_SEARCHED = 1000  # samples whose nearest training image is looked for
NUM_PAIRS = 32


class Keys(NamedTuple):
    """The PRNG keys of an evaluation, one for each purpose."""

    train_rows: Key[Array, ""]
    test_rows: Key[Array, ""]
    samples: Key[Array, ""]
    score: Key[Array, ""]


class Reference(NamedTuple):
    """The real images of an evaluation."""

    train: Batch
    """Random training images, at most as many as there are samples."""
    test: Batch
    """All test images, in random order."""
    all_train: Pixels
    """All training images, which may be mapped from a file."""
    num_compared: int
    """The size n of both sets in each distance."""
    train_features: Features
    """Of the first n training images."""


class Candidate(NamedTuple):
    """Images to be compared with the training set."""

    compared: Batch
    """n images."""
    classified: Batch
    """Images whose class is recognized or not."""
    teaching: Batch
    """Images that a classifier is trained on, for its accuracy on the test set."""


def num_compared(train: Batch, test: Batch, options: SampleOptions) -> int:
    """Return the size of all sets in a distance. Raises InputError if it is too small."""
    n = min(options.num_samples, len(train.label), len(test.label))
    least = max(MIN_IMAGES, 2 * options.nearest_k)
    if n < least:
        raise InputError(
            f"Distances between sets of {n} images mean little: at least {least} training images, "
            "test images and --num-samples are needed."
        )
    return n


def make_reference(
    train: Batch,
    test: Batch,
    trained: TrainedClassifier,
    options: SampleOptions,
    key: Key[Array, ""],
) -> Reference:
    """Choose real images at random."""
    n = num_compared(train, test, options)
    keys = split_keys(key)
    chosen = _choose(train, keys.train_rows, options.num_samples)
    features = trained.features(chosen.image[:n])
    test = _choose(test, keys.test_rows, len(test.label))
    return Reference(chosen, test, train.image, n, features)


def split_keys(key: Key[Array, ""]) -> Keys:
    """Derive the keys of all purposes."""
    return Keys(*jax.random.split(key, len(Keys._fields)))


def real_row(
    reference: Reference,
    trained: TrainedClassifier,
    options: SampleOptions,
    key: Key[Array, ""],
    *,
    is_conditional: bool,
    progress: Progress,
) -> Row:
    """Evaluate real test images as if they were samples."""
    compared = _first(reference.test, reference.num_compared)
    candidate = Candidate(compared, compared, reference.train)
    name = "the real test set"
    return _row(name, candidate, reference, trained, options, key, is_conditional, progress)


def sample_row(
    learner: Learner,
    state: PyTree,
    reference: Reference,
    trained: TrainedClassifier,
    options: SampleOptions,
    key: Key[Array, ""],
    *,
    is_conditional: bool,
    progress: Progress,
) -> tuple[Row, Pixels]:
    """Evaluate samples; also return the pairs that look most like memorized training images.

    Raises InputError if a sample is not finite.
    """
    labels = np.resize(reference.train.label, options.num_samples)
    image = draw(learner, state, labels, split_keys(key).samples, progress)
    samples = Batch(image, labels)  # pyright: ignore[reportArgumentType]  (NumPy arrays)
    teaching = _first(samples, len(reference.train.label))
    candidate = Candidate(_first(samples, reference.num_compared), samples, teaching)
    row = _row("samples", candidate, reference, trained, options, key, is_conditional, progress)
    with stage(progress, "nearest training images"):
        searched = samples.image[:NUM_SEARCHED]
        pairs = nearest_pairs(searched, reference.all_train, reference.test.image)
    return row, pairs


def draw(
    learner: Learner,
    state: PyTree,
    labels: Int[np.ndarray, "n"],
    key: Key[Array, ""],
    progress: Progress,
) -> Pixels:
    """Draw an image for each label, as 8-bit pixels. Raises InputError if one is not finite."""
    sample = jax.jit(learner.sample)
    starts = range(0, len(labels), BATCH_SIZE)
    images = []
    for start in track(progress, f"{len(labels)} samples", starts):
        # a full batch, since the model may normalize by the images drawn together
        batch = labels[np.arange(start, start + BATCH_SIZE) % len(labels)]
        image = np.asarray(sample(state, batch, jax.random.fold_in(key, start)))
        if not np.isfinite(image).all():
            raise InputError(
                "The model draws samples that are not finite: its training has diverged. Evaluate "
                "an earlier checkpoint with --checkpoint."
            )
        images.append(to_uint8(image))
    return np.concatenate(images)[: len(labels)]


def nearest_pairs(samples: Pixels, train: Pixels, held_out: Pixels) -> Pixels:
    """Find the samples that are nearer to a training image than to held-out images.

    Each is followed by its nearest training image. The first has the smallest ratio of the two
    distances. The smallest distances themselves would belong to the simplest images.
    """
    found = neighbors.nearest(_flat(samples), _flat(train))
    other = neighbors.nearest(_flat(samples), _flat(held_out)).distance
    ratio = found.distance / np.maximum(other, 1e-9)  # a held-out copy has no distance
    order = np.argsort(ratio)[:NUM_PAIRS]
    pairs = np.stack([samples[order], train[found.row[order]]], axis=1)
    return pairs.reshape(-1, *samples.shape[1:])


def _row(
    name: str,
    candidate: Candidate,
    reference: Reference,
    trained: TrainedClassifier,
    options: SampleOptions,
    key: Key[Array, ""],
    is_conditional: bool,
    progress: Progress,
) -> Row:
    n = reference.num_compared
    train, test = _first(reference.train, n), _first(reference.test, n)
    row: Row = {}
    with stage(progress, f"distances of {name}"):
        features = trained.features(candidate.compared.image)
        if options.features == "inception":
            row |= fidelity.distances(candidate.compared.image, train.image, options.nearest_k)
        else:
            row |= _distances(features, reference.train_features, options.nearest_k)
        half = n // 2
        held_out = _flat(test.image[half : 2 * half])
        memorized = neighbors.memorization(
            _flat(candidate.compared.image[:half]), _flat(train.image[:half]), held_out
        )
        row["nearer_to_training"] = memorized.share_nearer
        row["nearer_to_training_standard_error"] = memorized.standard_error
        row["median_distance_ratio"] = memorized.median_ratio
    if not is_conditional:
        return row
    by_class = [
        _coverage_within(
            reference.train_features[train.label == label],
            features[candidate.compared.label == label],
            options.nearest_k,
        )
        for label in range(trained.model.num_classes)
    ]
    row["coverage_within_classes"] = by_class
    row["lowest_coverage_within_class"] = _lowest(by_class)
    recognized = trained.recognizes(candidate.classified)
    row["recognized"] = float(recognized.mean())
    by_class = [
        float(own.mean()) if len(own := recognized[candidate.classified.label == label]) else None
        for label in range(trained.model.num_classes)
    ]
    row["recognized_by_class"] = by_class
    row["lowest_recognized_of_class"] = _lowest(by_class)
    num_teaching = len(candidate.teaching.label)
    with stage(progress, f"classifier trained on {num_teaching} images of {name}"):
        # the same initialization and order for samples and for real images
        score_key = split_keys(key).score
        score = accuracy_score(trained.model, candidate.teaching, reference.test, score_key)
    row["classification_accuracy_score"] = score.test
    row["classification_accuracy_on_held_out_samples"] = score.validation
    return row


def _distances(features: Features, real: Features, nearest_k: int) -> Row:
    kernel = distances.kernel_distance(features, real)
    return {
        "frechet_distance": distances.frechet_distance(features, real),
        "kernel_distance": kernel.mean,
        "kernel_distance_standard_error": kernel.standard_error,
        **neighbors.coverage(real, features, nearest_k)._asdict(),
    }


def _coverage_within(real: Features, features: Features, nearest_k: int) -> float | None:
    """Compute the coverage of a class; None if it has too few images."""
    if min(len(real), len(features)) <= nearest_k:
        return None
    return neighbors.coverage(real, features, nearest_k).coverage


def _lowest(values: list[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _choose(images: Batch, key: Key[Array, ""], num: int) -> Batch:
    rows = np.asarray(jax.random.permutation(key, len(images.label)))[:num]
    return jax.tree.map(lambda array: np.asarray(array)[rows], images)


def _first(images: Batch, n: int) -> Batch:
    return jax.tree.map(lambda array: array[:n], images)


def _flat(image: Pixels) -> UInt8[np.ndarray, "_ d"]:
    return np.asarray(image).reshape(len(image), -1)
