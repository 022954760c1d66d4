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
import numpy as np
import tyro
from jaxtyping import Array, Float, Key
from rich.progress import Progress

from experiments import launch
from experiments.experiment import Experiment, train
from experiments.options import RunOptions, command_line
from jaxgen import console, pictures, runs
from jaxgen.evaluation import judge
from jaxgen.evaluation.collapse import collapse
from jaxgen.gan import objectives
from jaxgen.gan.learner import Hypers, cgan
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.training import checkpoint, loop
from jaxgen.types import Batch, Learner, Metrics, State

BEST = "test/recognised"
EVALUATION_BATCH = 500
NUM_JUDGED = 10_000
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
    """A judge trained on these very images, once; and its accuracy on the test images."""
    model = judge.Judge(num_classes)
    images = np.asarray(sets.train.image)
    fingerprint = hashlib.sha256(images.tobytes()).hexdigest()[:12]
    params = checkpoint.remember(
        launch.cache_dir() / f"judge-{fingerprint}-{judge.NUM_STEPS}-steps",
        lambda: judge.train(model, sets.train, jax.random.key(0)),
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
    config, sets = launch.prepare(config, progress, default_epochs)
    num_classes = sets.num_classes
    learner = make_learner(config, sets.image_shape, num_classes)
    key = loop.split_run_key(jax.random.key(config.run.seed)).evaluate
    judge_model, judge_params, judge_accuracy = trained_judge(sets, num_classes)
    progress.console.print(f"the judge recognises {judge_accuracy:.2%} of the test images")
    test_metrics = jax.jit(partial(loop.evaluate, learner.evaluate, batch_size=EVALUATION_BATCH))

    @jax.jit
    def recognised(state: State) -> Float[Array, ""]:
        return judge.share_recognised(
            judge_model,
            judge_params,
            partial(learner.sample, state),
            key,
            num_batches=NUM_JUDGED // EVALUATION_BATCH,
            batch_size=EVALUATION_BATCH,
        )

    def evaluate(state: State) -> Metrics:
        return {**test_metrics(state, sets.test, key), "recognised": recognised(state)}

    # A row for each class, and the same noise in each row and epoch
    labels = jnp.repeat(jnp.arange(num_classes), SAMPLES_PER_CLASS)
    noise = jax.random.normal(key, (SAMPLES_PER_CLASS, config.latent_dim))
    z = jnp.tile(noise, (num_classes, 1))
    generate = jax.jit(learner.generate)

    def show(run_dir: Path, epoch: launch.Epoch, record: Mapping[str, Any]) -> None:
        samples = np.asarray(generate(epoch.state, labels, z))
        path = runs.samples_path(run_dir, epoch.number)
        pictures.save(path, pictures.grid(samples, num_columns=SAMPLES_PER_CLASS))
        progress.console.print(
            f"epoch {epoch.number:3d}  D(real) {record['test/d_real']:.2f}  "
            f"D(fake) {record['test/d_fake']:.2f}  recognised {record[BEST]:.2%}"
        )
        if epoch.step >= WARM_UP_STEPS:
            rows = samples.reshape(num_classes, SAMPLES_PER_CLASS, *samples.shape[1:])
            if trouble := collapse(rows, record["train/discriminator_loss"]):
                progress.console.print(f"[yellow]collapsed:[/] {trouble}")

    return Experiment(
        name="cgan_mnist",
        config=config,
        sets=sets,
        learner=learner,
        hypers=Hypers(config.learning_rate, config.learning_rate, config.penalty_weight),
        best=BEST,
        mode="max",
        evaluate=evaluate,
        show=show,
        details={"judge_accuracy": judge_accuracy},
    )


def main(config: Config) -> Path:
    """Trains, and returns the run directory. Raises InputError for what cannot be done."""
    with console.progress_bar() as progress:
        experiment = prepare(config, progress)
        run_dir = train(experiment, progress)
    records = runs.read_metrics(run_dir)
    pictures.curves(run_dir / "curves.png", records, PANELS)
    grids = (runs.samples_path(run_dir, record["epoch"]) for record in records)
    pictures.animate(run_dir / "training.gif", grids)
    print(f"samples, training.gif and curves: {run_dir}")
    print(
        f"recognised as the class asked for: {records[-1][BEST]:.2%} of {NUM_JUDGED} samples "
        f"after {records[-1]['epoch']} epochs on {experiment.sets.name} "
        f"(of the real test images: {experiment.details['judge_accuracy']:.2%})"
    )
    return run_dir


if __name__ == "__main__":
    with console.errors_in_plain_words():
        main(command_line(Config, "python -m experiments.cgan_mnist"))
