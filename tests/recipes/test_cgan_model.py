"""The networks of the conditional GAN follow the data, which is said."""

import dataclasses

import pytest

from jaxgen.errors import InputError
from jaxgen.gan.convolutional import ConvDiscriminator, ConvGenerator
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.recipes import cgan
from jaxgen.recipes.cgan_config import Config, choose_model, make_models
from jaxgen.recipes.recipe import Facts


def facts(channels=1, size=16):
    return Facts("toy", (size, size, channels), ("a", "b"), 20, "", 2, 2)


@pytest.mark.parametrize(
    ("channels", "networks", "notice"),
    [
        (1, (Generator, Discriminator), "model mlp, the course's networks: the images are gray"),
        (
            3,
            (ConvGenerator, ConvDiscriminator),
            "model conv, convolutional networks: the images are in color",
        ),
    ],
)
def test_the_default_follows_the_data_and_says_why(channels, networks, notice):
    models = make_models(Config(), facts(channels))
    assert tuple(map(type, models)) == networks
    task = cgan.build(Config(), facts(channels))
    assert task.notice == notice
    assert task.settings is not None
    assert task.settings["model"] == notice.split()[1].rstrip(",")
    assert task.settings["generator_dims"] == models[0].hidden_dims


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["mlp", "conv"])
def test_an_explicit_choice_is_kept_and_needs_no_words(name, channels):
    config = Config(model=name, generator_dims=(8, 4), discriminator_dims=(6,), latent_dim=5)
    generator, discriminator = make_models(config, facts(channels))
    assert choose_model(config, facts(channels)) == (name, "")
    assert isinstance(generator, {"mlp": Generator, "conv": ConvGenerator}[name])
    assert (generator.hidden_dims, discriminator.hidden_dims) == ((8, 4), (6,))
    assert generator.latent_dim == 5
    assert generator.image_shape == discriminator.image_shape == (16, 16, channels)
    assert generator.num_classes == discriminator.num_classes == 2


@pytest.mark.parametrize(
    ("height", "width", "dims"),
    [
        (32, 32, (64, 32, 16)),
        (64, 64, (64, 32, 16, 16)),
        (128, 96, (64, 32, 16, 16)),
        (28, 28, (64, 32)),
        (50, 63, (64, 32, 16)),
        (3, 5, (64,)),
        (2048, 2048, (64, 32, 16, 16, 16, 16, 16, 16, 16)),
    ],
)
def test_convolutions_start_from_a_map_of_a_few_pixels_and_reach_any_size(height, width, dims):
    toy = dataclasses.replace(facts(), image_shape=(height, width, 3))
    generator, discriminator = make_models(Config(), toy)
    assert generator.hidden_dims == discriminator.hidden_dims[::-1] == dims
    if height < 100:
        cgan.build(Config(), toy)  # traces both


def test_convolutional_networks_have_no_names_in_pytorch_which_is_said():
    assert cgan.torch_entries(Config(), facts(1)).keys() == {"generator", "discriminator", "ema"}
    with pytest.raises(InputError, match="of this run are convolutional: train with --model mlp"):
        cgan.torch_entries(Config(), facts(3))


def test_weights_of_the_course_s_networks_are_those_of_an_mlp_in_color_too():
    entries = cgan.torch_entries(Config(model="mlp"), facts(3))
    assert {entry.name for entry in entries["generator"]} > {"label_emb.weight", "model.0.weight"}


@pytest.mark.parametrize(
    ("shape", "num_batches"),
    [((32, 32, 1), 20), ((28, 28, 1), 20), ((32, 32, 3), 6), ((64, 64, 3), 2), ((512, 512, 3), 2)],
)
def test_fewer_samples_of_larger_images_are_classified(shape, num_batches):
    larger = dataclasses.replace(facts(), image_shape=shape)
    assert cgan.num_classified_batches(larger) == num_batches
