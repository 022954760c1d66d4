"""Trains the conditional GAN on digits, and asks a judge whether it draws what it is asked for.

python -m experiments.cgan_mnist
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array, Key
from rich.progress import Progress

from experiments import launch
from experiments.experiment import Drawn, Experiment, picture_places, show_result, train
from experiments.options import RunOptions, command_line
from experiments.records import told
from jaxgen import console, pictures, runs
from jaxgen.evaluation import judge
from jaxgen.evaluation.collapse import collapse
from jaxgen.gan import objectives
from jaxgen.gan.learner import Hypers, cgan
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.training import checkpoint, loop
from jaxgen.types import Batch, Learner, Metrics, State

BEST = "test/recognised"
MODE: Literal["min", "max"] = "max"
EVALUATION_BATCH = 500
NUM_JUDGED = 10_000
NUM_JUDGE_IMAGES = 60_000  # that the judge learns from: all of MNIST
NUM_IMAGES_SEEN = 400_000
SAMPLES_PER_CLASS = 10
WARM_UP_STEPS = 1000  # the moving average of the generator lags as far behind
PANELS = {
    "losses": ["train/generator_loss", "train/discriminator_loss"],
    "D(x)": ["train/d_real", "train/d_fake"],
    "share recognised as the class asked for": [BEST],
}
OBJECTIVES = {
    "least-squares": objectives.least_squares,
    "minimax": objectives.minimax,
    "non-saturating": objectives.non_saturating,
    "hinge": objectives.hinge,
    "wasserstein": objectives.wasserstein,
}
PENALTIES = {"none": None, "gradient": objectives.gradient_penalty, "r1": objectives.r1}


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Values to train with, one member of the population for each; several lists are crossed."""

    learning_rate: tuple[float, ...] = ()
    """In place of --learning-rate."""
    penalty_weight: tuple[float, ...] = ()
    """In place of --penalty-weight."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Trains the conditional GAN on digits, and asks a judge whether it draws what it should."""

    objective: Literal["least-squares", "minimax", "non-saturating", "hinge", "wasserstein"] = (
        "non-saturating"
    )
    """What the two networks minimise."""
    penalty: Literal["none", "gradient", "r1"] = "none"
    """On the discriminator's gradient: between real images and fakes, or at real images."""
    penalty_weight: float = 10.0
    """Weight of the penalty."""
    num_discriminator_steps: int = 1
    """Updates of the discriminator for each one of the generator; they share a batch."""
    label_smoothing: float = 0.0
    """Share of the real images that the discriminator is to take for fakes."""
    ema_decay: float | None = 0.999
    """Draw with a moving average of the generator that keeps this much each step; None: do not."""
    sample_statistics: Literal["batch", "running"] = "batch"
    """Normalise samples by those drawn together (as the course), or by running averages."""
    latent_dim: int = 100
    """Size of the noise."""
    learning_rate: float = 2e-4
    """Adam's, for both networks."""

    sweep: Sweep = Sweep()
    """Trains a population: one run for each value."""
    run: tyro.conf.OmitArgPrefixes[RunOptions] = RunOptions()
    """What every experiment can be asked for."""


def make_models(
    config: Config, image_shape: tuple[int, int, int], num_classes: int
) -> tuple[Generator, Discriminator]:
    """The two networks that the configuration describes."""
    generator = Generator(image_shape, config.latent_dim, num_classes)
    return generator, Discriminator(image_shape, num_classes)


def make_learner(config: Config, image_shape: tuple[int, int, int], num_classes: int) -> Learner:
    """The learner that the configuration describes."""
    return cgan(
        *make_models(config, image_shape, num_classes),
        OBJECTIVES[config.objective](),
        num_discriminator_steps=config.num_discriminator_steps,
        label_smoothing=config.label_smoothing,
        penalty=PENALTIES[config.penalty],
        ema_decay=config.ema_decay,
        sample_statistics=config.sample_statistics,
    )


def trained_judge(sets: launch.DataSets, num_classes: int) -> tuple[judge.Judge, Any, float]:
    """A judge trained on the first of these very images, once; and its accuracy on test images."""
    model = judge.Judge(num_classes)
    images = jax.device_get(jax.tree.map(lambda array: array[:NUM_JUDGE_IMAGES], sets.train))
    if sets.is_streamed:
        images = sets.pad(images)
    fingerprint = hashlib.sha256(images.image.tobytes()).hexdigest()[:12]
    params = checkpoint.remember(
        launch.cache_dir() / f"judge-{fingerprint}-{judge.NUM_STEPS}-steps",
        lambda: judge.train(model, jax.device_put(images), jax.random.key(0)),
    )

    def right(params: Any, batch: Batch, key: Key[Array, ""]) -> Metrics:
        return {"accuracy": judge.recognises(model, params, batch.image / 255, batch.label)}

    evaluate = jax.jit(partial(loop.evaluate, right, batch_size=EVALUATION_BATCH))
    accuracy = evaluate(params, sets.test, jax.random.key(0))["accuracy"]
    return model, params, float(accuracy)


def default_epochs(num_images: int) -> int:
    """50, or as many as it takes a small set to be seen often enough to draw every digit."""
    return max(50, NUM_IMAGES_SEEN // num_images)


def prepare(config: Config, progress: Progress) -> Experiment:
    """Loads the data and the judge. Raises InputError for what cannot be done."""
    config, sets, layout = launch.prepare(config, progress, default_epochs)
    num_classes = sets.num_classes
    learner = make_learner(config, sets.image_shape, num_classes)
    judge_model, judge_params, judge_accuracy = trained_judge(sets, num_classes)
    progress.console.print(f"the judge recognises {judge_accuracy:.2%} of the test images")
    labels = jnp.repeat(jnp.arange(num_classes), SAMPLES_PER_CLASS)

    def evaluate(state: State, test: Batch, key: Key[Array, ""]) -> Metrics:
        recognised = judge.share_recognised(
            judge_model,
            judge_params,
            partial(learner.sample, state),
            key,
            num_batches=NUM_JUDGED // EVALUATION_BATCH,
            batch_size=EVALUATION_BATCH,
        )
        metrics = loop.evaluate(learner.evaluate, state, test, key, EVALUATION_BATCH)
        return {**metrics, "recognised": recognised}

    def draw(state: State, key: Key[Array, ""]) -> dict[str, Array]:
        """A row for each class, and the same noise in each row and epoch."""
        noise = jax.random.normal(key, (SAMPLES_PER_CLASS, config.latent_dim))
        return {"samples": learner.generate(state, labels, jnp.tile(noise, (num_classes, 1)))}

    def save_pictures(place: Path, epoch: int, drawn: Drawn) -> None:
        samples = pictures.grid(drawn["samples"], num_columns=SAMPLES_PER_CLASS)
        pictures.save(runs.samples_path(place, epoch), samples)

    def tell(record: Mapping[str, Any]) -> str:
        real, fake = told(record, "test/d_real", ".2f"), told(record, "test/d_fake", ".2f")
        return f"D(real) {real}  D(fake) {fake}  recognised {told(record, BEST, '.2%')}"

    def warn(drawn: Drawn, record: Mapping[str, Any]) -> str | None:
        loss = record.get("train/discriminator_loss")
        if loss is None or record["step"] < WARM_UP_STEPS:
            return None
        samples = drawn["samples"]
        return collapse(samples.reshape(num_classes, -1, *samples.shape[1:]), loss)

    return Experiment(
        name="cgan_mnist",
        config=config,
        sets=sets,
        layout=layout,
        learner=learner,
        hypers=lambda config: Hypers(
            config.learning_rate, config.learning_rate, config.penalty_weight
        ),
        best=BEST,
        mode=MODE,
        evaluate=evaluate,
        draw=draw,
        save_pictures=save_pictures,
        tell=tell,
        warn=warn,
        details={"judge_accuracy": judge_accuracy},
    )


def main(config: Config) -> Path:
    """Trains, and returns the run directory. Raises InputError for what cannot be done."""
    launch.join_hosts(config.run)
    with console.progress_bar(quiet=not launch.is_writer()) as progress:
        experiment = prepare(config, progress)
        run_dir = train(experiment, progress)
    if launch.is_writer():
        record = show_result(experiment, run_dir, PANELS)
        epochs = [record["epoch"] for record in runs.read_metrics(run_dir)]
        for place in picture_places(experiment, run_dir):
            grids = (runs.samples_path(place, epoch) for epoch in epochs)
            pictures.animate(place / "training.gif", grids)
        print(f"samples, training.gif and curves: {run_dir}")
        print(
            f"recognised as the class asked for: {told(record, BEST, '.2%')} of {NUM_JUDGED} "
            f"samples after {record['epoch']} epochs on {experiment.sets.name} "
            f"(of the real test images: {experiment.details['judge_accuracy']:.2%})"
        )
    return run_dir


if __name__ == "__main__":
    with console.errors_in_plain_words():
        main(command_line(Config, "python -m experiments.cgan_mnist"))
