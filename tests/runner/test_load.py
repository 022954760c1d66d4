"""An opened run: its state, its calls and its members, without its data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import InputError, load_run
from jaxgen.commands.train import main
from jaxgen.data import builtin, load
from jaxgen.recipes import vae

OPTIONS = [
    "--dataset",
    "mnist_5k",
    "--batch-size",
    "80",
    "--model",
    "mlp",
    "--hidden-dims",
    "16",
    "--latent-dim",
    "4",
    "--save-every",
    "0",
    "--no-report",
]
IMAGES = np.asarray(load("mnist_5k", "test", image_size=32).image[:5])


def train(run_dir, *options):
    args = [*OPTIONS, *map(str, options), "--run-dir", str(run_dir)]
    main(vae.RECIPE, program="test", args=args)
    return run_dir


@pytest.fixture(scope="module")
def single(tmp_path_factory, few_digits):
    """A run of four epochs."""
    return train(tmp_path_factory.mktemp("load") / "single", "--epochs", 4)


@pytest.fixture(scope="module")
def population(tmp_path_factory, few_digits):
    """Three members, of which the second diverges."""
    sweep = ["--sweep.learning-rate", 1e-3, 1e30, 3e-3]
    return train(tmp_path_factory.mktemp("load") / "population", "--epochs", 2, *sweep)


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    """The data set has been moved away."""

    def gone(split):
        raise AssertionError("the data set was read")

    monkeypatch.setattr(builtin, "read", gone)


def test_the_latest_checkpoint_and_its_records(single):
    run = load_run(single)
    assert run.step == int(run.state.step) == 40
    assert [record["epoch"] for record in run.metrics] == [1, 2, 3, 4]
    assert run.options.config.latent_dim == 4
    assert run.facts.num_images == 800
    assert run.num_members is None


def test_an_older_checkpoint_has_the_records_up_to_it(single):
    run = load_run(single, 30)
    assert run.step == 30
    assert [record["epoch"] for record in run.metrics] == [1, 2, 3]


def test_the_best_checkpoint_is_that_of_the_best_record(single):
    records = load_run(single).metrics
    best = min(records, key=lambda record: record["test/negative_elbo_nats"])
    assert load_run(str(single), "best").step == best["step"]


def test_a_checkpoint_that_is_not_there_is_named(single):
    with pytest.raises(InputError, match="no checkpoint of step 10, only of"):
        load_run(single, 10)


def test_samples_are_those_of_the_learner(single):
    run = load_run(single)
    keys = [jax.random.fold_in(jax.random.key(5), batch) for batch in (0, 1)]
    expected = [run.learner.sample(run.state, jnp.zeros(32, jnp.int32), key) for key in keys]
    images = run.sample([0] * 40, seed=5)
    np.testing.assert_allclose(images, np.concatenate(expected)[:40], atol=1e-6)
    np.testing.assert_array_equal(run.sample([0, 0, 0], seed=5), images[:3])
    assert run.sample(0).shape == (0, 32, 32, 1)
    assert run.sample(7).shape == (7, 32, 32, 1)
    assert (run.sample(7) == run.sample(7)).all()
    assert (run.sample(7) != run.sample(7, seed=1)).any()


def test_images_are_encoded_generated_and_reconstructed(single):
    run = load_run(single)
    mean, logvar = run.encode(IMAGES)
    assert mean.shape == logvar.shape == (5, 4)
    images = run.generate(mean)
    assert images.shape == (5, 32, 32, 1)
    assert 0 <= images.min() <= images.max() <= 1
    assert run.reconstruct(IMAGES).shape == images.shape
    assert (run.reconstruct(IMAGES, seed=1) != run.reconstruct(IMAGES, seed=2)).any()


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES / 255, "must be uint8 from 0 to 255, but are float64"),
        (IMAGES[..., 0], r"use `image\[..., None\]`"),
        (
            IMAGES[:, 2:-2, 2:-2],
            r"takes images of the shape \[32, 32, 1\], not \[28, 28, 1\]: load",
        ),
    ],
)
def test_images_that_do_not_fit_are_refused(single, images, message):
    run = load_run(single)
    for call in (run.encode, run.reconstruct):
        with pytest.raises(InputError, match=message):
            call(images)


def test_a_population_has_members_and_one_of_them_can_be_used(population):
    run = load_run(population)
    assert run.num_members == 3
    with pytest.raises(InputError, match=r"is a population: choose a member with run.member\(i\)"):
        run.sample(3)
    members = [run.member(i) for i in range(3)]
    assert [member.options.config.learning_rate for member in members] == [1e-3, 1e30, 3e-3]
    assert [member.step for member in members] == [20, 0, 20]
    assert [len(member.metrics) for member in members] == [2, 0, 2]
    assert (members[0].sample(3) != members[2].sample(3)).any()
    for index, member in enumerate(members):
        kernel = member.state.network.params["encoder_0"]["kernel"]
        np.testing.assert_array_equal(
            kernel, run.state.network.params["encoder_0"]["kernel"][index]
        )


def test_the_best_checkpoint_of_a_population_is_best_by_the_mean(population):
    records = load_run(population).metrics
    mean = [record["summary"]["test/negative_elbo_nats"]["mean"] for record in records]
    assert load_run(population, "best").step == records[int(np.argmin(mean))]["step"]


@pytest.mark.parametrize("index", [-1, 3])
def test_a_member_that_is_not_there_is_named(population, index):
    with pytest.raises(InputError, match=f"has members 0 to 2, not {index}"):
        load_run(population).member(index)


def test_a_single_run_has_no_members(single):
    with pytest.raises(InputError, match="is a single run: it has no members"):
        load_run(single).member(0)


def test_a_run_without_checkpoints_is_named(single, tmp_path):
    (tmp_path / "config.json").write_text((single / "config.json").read_text())
    with pytest.raises(InputError, match="has no checkpoint yet: train it for an epoch"):
        load_run(tmp_path)


def test_opening_a_run_changes_nothing_in_it(single):
    def contents():
        return {path: path.read_bytes() for path in single.rglob("*") if path.is_file()}

    before = contents()
    load_run(single).sample(2)
    assert contents() == before


def test_the_optimizer_s_state_is_opened_too(single):
    moments = jax.tree.leaves(load_run(single).state.network.opt_state)
    assert sum(np.abs(np.asarray(leaf)).max() > 0 for leaf in moments) > 10
