"""Pictures of a latent space, whose model is a function that is easy to read back."""

import io

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.testing import assert_allclose

from jaxgen.pictures import latent_space, latents
from jaxgen.pictures.tables import table

RANDOM = np.random.default_rng(0)
MEAN, LOGVAR = RANDOM.normal(size=(2, 40, 3)) * [0.5, 2, 1]


def decode(z):
    """Images of 4 x 4 pixels: the left half shows the first latent, the right half the second."""
    images = np.zeros((len(z), 4, 4, 1))
    images[:, :, :2, 0], images[:, :, 2:, 0] = (1 / (1 + np.exp(-z[:, :2].T)))[..., None, None]
    return images


def names(axis):
    return [tick.get_text() for tick in axis.get_ticklabels()]


def shown(figure):
    """The images of a table: [rows, columns, 4, 4]."""
    canvas = figure.axes[0].images[0].get_array()[..., 0]
    rows, columns = (len(range(0, size, 5)) for size in canvas.shape)
    padded = np.ones((rows * 5, columns * 5))
    padded[: canvas.shape[0], : canvas.shape[1]] = canvas
    return padded.reshape(rows, 5, columns, 5).swapaxes(1, 2)[:, :, :4, :4]


def assert_nothing_is_clipped(figure):
    """A frame of the saved picture is white, and its inside is not."""
    file = io.BytesIO()
    figure.savefig(file)
    picture = imread(io.BytesIO(file.getvalue()))[..., :3]
    for edge in (picture[:2], picture[-2:], picture[:, :2], picture[:, -2:]):
        assert (edge == 1).all()
    assert picture.std() > 0.05


def test_traversals_name_the_units_with_their_kl():
    figure = latent_space.traversals(decode, MEAN, LOGVAR, num_units=2, values=np.array([-1.0, 1]))
    kl = latents.unit_kl_nats(MEAN, LOGVAR)
    ax = figure.axes[0]
    assert names(ax.yaxis) == [f"unit 1: {kl[1]:.2f} nats", f"unit 2: {kl[2]:.2f} nats"]
    assert names(ax.xaxis) == ["-1.0", "1.0"]
    images = shown(figure)
    assert_allclose(images[0, :, 0, 2], 1 / (1 + np.exp([1.0, -1.0])))  # the unit itself
    assert_allclose(images[0, :, 0, 0], 1 / (1 + np.exp(-MEAN[0, 0])))  # the others stay
    assert_nothing_is_clipped(figure)


def test_interpolations_go_from_one_image_to_the_other():
    figure = latent_space.interpolations(decode, MEAN[:2], MEAN[2:4], num_columns=3)
    images = shown(figure)
    assert names(figure.axes[0].yaxis) == ["straight", "spherical"] * 2
    assert_allclose(images[0, [0, 2], :, :], decode(MEAN[[0, 2]])[..., 0])
    assert_allclose(images[1, [0, 2], :, :], decode(MEAN[[0, 2]])[..., 0])
    assert_allclose(images[2, 1], decode(MEAN[[1, 3]].mean(axis=0)[None])[0, ..., 0])
    assert_nothing_is_clipped(figure)


def test_the_manifold_increases_to_the_right_and_upwards():
    figure = latent_space.manifold(decode, num=4)
    images = shown(figure)
    assert (np.diff(images[:, :, 0, 0], axis=1) > 0).all()
    assert (np.diff(images[:, :, 0, 2], axis=0) < 0).all()
    assert names(figure.axes[0].xaxis) == names(figure.axes[0].yaxis)[::-1]
    assert_nothing_is_clipped(figure)


def test_temperatures_scale_the_same_noise():
    figure = latent_space.temperatures(decode, MEAN[:3], values=(0.0, 1.0))
    images = shown(figure)
    assert_allclose(images[0], 0.5)
    assert_allclose(images[1], decode(MEAN[:3])[..., 0])
    assert names(figure.axes[0].yaxis) == ["temperature 0", "temperature 1"]


def test_reconstructions_are_in_the_order_of_their_errors():
    images = RANDOM.uniform(size=(30, 4, 4, 1))
    error = RANDOM.permutation(30) / 100
    figure = latent_space.best_to_worst(images, images + error[:, None, None, None], num=4)
    assert names(figure.axes[0].xaxis) == ["0.000", "0.100", "0.190", "0.290"]
    assert_allclose(shown(figure)[0, 0], images[error.argmin(), ..., 0])
    assert_nothing_is_clipped(figure)


def test_classes_share_the_noise():
    seen = []

    def generate(z, labels):
        seen.append((z, labels))
        return decode(z)

    figure = latent_space.classes(generate, MEAN[:2], ["a cat", "a $dog$"])
    ((z, labels),) = seen
    assert labels.tolist() == [0, 0, 1, 1]
    assert_allclose(z, np.tile(MEAN[:2], (2, 1)))
    assert names(figure.axes[0].yaxis) == ["a cat", "a $dog$"]  # verbatim, not as a formula
    assert_nothing_is_clipped(figure)


def test_weights_move_from_each_class_to_the_next():
    figure = latent_space.class_interpolation(
        lambda weights, z: decode(weights), MEAN[0], ["x", "y", "z"], num_columns=3
    )
    assert names(figure.axes[0].yaxis) == ["x to y", "y to z", "z to x"]
    half = 1 / (1 + np.exp(-0.5))
    assert_allclose(shown(figure)[:, 1, 0, 0], [half, 0.5, half])


@pytest.mark.parametrize("num_classes", [1, 4, 30])
def test_a_projection_shows_every_code(num_classes):
    label = np.arange(40) % num_classes
    class_names = [f"class {number}" for number in range(num_classes)]
    figure = latent_space.projection(MEAN, label, class_names)
    ax = figure.axes[0]
    assert sum(len(np.asarray(part.get_offsets())) for part in ax.collections) == 40
    named = [text.get_text() for text in ax.texts]
    assert named == (class_names if num_classes == 4 else [])
    looks = {
        (str(part.get_facecolor()), str(part.get_paths()[0].vertices)) for part in ax.collections
    }
    assert len(looks) == (4 if num_classes == 4 else 1)
    assert "of the variance" in ax.get_xlabel()
    assert_nothing_is_clipped(figure)


def test_long_names_are_cut_and_undefined_pixels_are_gray():
    images = np.full((2, 3, 4, 4, 1), np.nan)
    figure = table(images, ["W" * 100, "i"], ["0", "1", "2"], xlabel="x", ylabel="y")
    assert names(figure.axes[0].yaxis)[0] == "W" * 27 + "…"
    assert_allclose(shown(figure), 0.5)
    assert_nothing_is_clipped(figure)


def test_colors_stay():
    image = RANDOM.uniform(size=(1, 1, 2, 2, 3))
    assert_allclose(np.asarray(table(image).axes[0].images[0].get_array()), image[0, 0])
