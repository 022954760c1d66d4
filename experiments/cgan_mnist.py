"""Trains the conditional GAN on digits, and asks a judge whether it draws what it is asked for.

python -m experiments.cgan_mnist
"""

import dataclasses
import hashlib
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jaxtyping import Array, Float, Key

from experiments import launch
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
        "least-squares"
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

    run: tyro.conf.OmitArgPrefixes[RunOptions] = RunOptions(epochs=50)
    """What every experiment can be asked for."""


def make_learner(config: Config, image_shape: tuple[int, int, int], num_classes: int) -> Learner:
    """The learner that the configuration describes."""
    return cgan(
        Generator(image_shape, config.latent_dim, num_classes),
        Discriminator(image_shape, num_classes),
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


def main(config: Config) -> Path:
    """Trains, and returns the run directory. Raises InputError for what cannot be done."""
    with console.progress_bar() as progress:
        config, sets = launch.prepare(config, progress)
        options = config.run
        steps_per_epoch = loop.epoch_shape(len(sets.train.label), options.batch_size).num_steps
        num_classes = int(sets.train.label.max()) + 1
        learner = make_learner(config, sets.image_shape, num_classes)

        keys = loop.split_run_key(jax.random.key(options.seed))
        hypers = Hypers(config.learning_rate, config.learning_rate, config.penalty_weight)
        state = jax.jit(learner.init)(keys.init, hypers)
        evaluate = jax.jit(partial(loop.evaluate, learner.evaluate, batch_size=EVALUATION_BATCH))
        judge_model, judge_params, judge_accuracy = trained_judge(sets, num_classes)
        progress.console.print(f"the judge recognises {judge_accuracy:.2%} of the test images")

        @jax.jit
        def recognised(state: State, key: Key[Array, ""]) -> Float[Array, ""]:
            return judge.share_recognised(
                judge_model,
                judge_params,
                partial(learner.sample, state),
                key,
                num_batches=NUM_JUDGED // EVALUATION_BATCH,
                batch_size=EVALUATION_BATCH,
            )

        # A row for each class, and the same noise in each row and epoch
        labels = jnp.repeat(jnp.arange(num_classes), SAMPLES_PER_CLASS)
        noise = jax.random.normal(keys.evaluate, (SAMPLES_PER_CLASS, config.latent_dim))
        z = jnp.tile(noise, (num_classes, 1))
        generate = jax.jit(learner.generate)

        run_dir = launch.open_run(options, "cgan_mnist")
        progress.console.print(f"run directory: {run_dir}")
        with checkpoint.open_manager(runs.checkpoints_path(run_dir), BEST, "max") as manager:
            num_steps = options.epochs * steps_per_epoch
            state = launch.begin(
                run_dir, config, manager, state, num_steps, judge_accuracy=judge_accuracy
            )
            for epoch in launch.epochs(progress, learner.step, state, sets.train, keys, options):
                test = evaluate(epoch.state, sets.test, keys.evaluate)
                test["recognised"] = recognised(epoch.state, keys.evaluate)
                record = launch.keep(run_dir, manager, epoch, test)

                samples = np.asarray(generate(epoch.state, labels, z))
                path = runs.samples_path(run_dir, epoch.number)
                pictures.save(path, pictures.grid(samples, num_columns=SAMPLES_PER_CLASS))
                progress.console.print(
                    f"epoch {epoch.number:3d}  D(real) {record['train/d_real']:.2f}  "
                    f"D(fake) {record['train/d_fake']:.2f}  recognised {record[BEST]:.2%}"
                )
                rows = samples.reshape(num_classes, SAMPLES_PER_CLASS, *samples.shape[1:])
                trouble = collapse(rows, record["train/discriminator_loss"])
                if trouble and epoch.step >= WARM_UP_STEPS:
                    progress.console.print(f"[yellow]collapsed:[/] {trouble}")
        runs.write_result(run_dir)
        pictures.curves(run_dir / "curves.png", runs.read_metrics(run_dir), PANELS)
        grids = [runs.samples_path(run_dir, n + 1) for n in range(options.epochs)]
        pictures.animate(run_dir / "training.gif", grids)
    last = runs.read_metrics(run_dir)[-1]
    print(f"samples, training.gif and curves: {run_dir}")
    print(
        f"recognised as the class asked for: {last[BEST]:.2%} of {NUM_JUDGED} samples after "
        f"{last['epoch']} epochs on {sets.name} (of the real test images: {judge_accuracy:.2%})"
    )
    return run_dir


if __name__ == "__main__":
    with console.errors_in_plain_words():
        main(command_line(Config, "python -m experiments.cgan_mnist"))
