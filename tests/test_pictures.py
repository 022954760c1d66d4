"""Pictures, opened again and looked at pixel by pixel."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpy.testing import assert_allclose
from PIL import Image

from jaxgen import pictures


def test_a_grid_holds_each_image_in_its_place():
    images = np.random.default_rng(0).uniform(size=(5, 4, 6, 3))
    picture = pictures.grid(images, num_columns=3, scale=2)
    assert picture.shape == (2 * (4 + 2 + 4), 2 * (6 + 2 + 6 + 2 + 6), 3)
    assert_allclose(picture[:8:2, :12:2], images[0])
    assert_allclose(picture[12::2, 16:28:2], images[4])
    assert (picture[12:, 32:] == 1).all()  # nothing is left for the last place
    assert (picture[8:12] == 1).all()


def test_grey_images_become_grey_pictures():
    image = np.linspace(0, 1, 16).reshape(1, 4, 4, 1)
    picture = pictures.grid(image, num_columns=1, scale=1)
    assert_allclose(picture, np.repeat(image[0], 3, axis=-1))


def test_beside_pairs_images_up():
    left, right = np.zeros((3, 2, 2, 1)), np.ones((3, 2, 2, 1))
    assert_allclose(pictures.beside(left, right)[:, 0, 0, 0], [0, 1, 0, 1, 0, 1])


def test_a_saved_picture_is_the_picture(tmp_path):
    picture = np.random.default_rng(0).uniform(-0.5, 1.5, (7, 9, 3))
    pictures.save(tmp_path / "picture.png", picture)
    saved = imread(tmp_path / "picture.png")[..., :3]
    assert_allclose(saved, np.clip(picture, 0, 1), atol=1 / 255)


def test_curves_draw_a_panel_for_each_title(tmp_path):
    records = [{"epoch": epoch, "a": epoch**2, "b": -epoch} for epoch in range(1, 6)]
    pictures.curves(tmp_path / "one.png", records, {"A": ["a"]})
    pictures.curves(tmp_path / "two.png", records, {"A": ["a"], "B": ["a", "b"]})
    one, two = imread(tmp_path / "one.png"), imread(tmp_path / "two.png")
    assert two.shape[1] == 2 * one.shape[1]
    assert len(np.unique(one.reshape(-1, 4), axis=0)) > 10  # axes, text and lines, not a blank


def test_a_population_has_a_line_and_a_band_for_each_group(monkeypatch, tmp_path):
    drawn = []

    def band(ax, epochs, values, name):
        drawn.append(values)
        ax.plot(epochs, values, label=name)

    monkeypatch.setattr(pictures, "_band", band)
    records = [{"epoch": 1, "a": [1.0, 3.0, None]}, {"epoch": 2, "a": [2.0, 4.0, 9.0]}]
    pictures.curves(tmp_path / "c.png", records, {"A": ["a"]}, {"left": [0, 1], "right": [2]})
    left, right = drawn
    assert_allclose(left, [[1, 3], [2, 4]])
    assert_allclose(right, [[np.nan], [9]])


def test_a_band_is_one_standard_deviation_around_the_mean_of_those_who_are_left():
    ax = Figure().subplots()
    values = np.array([[1.0, 3.0, np.nan], [2.0, 6.0, np.nan]])
    pictures._band(ax, [1, 2], values, "a")
    assert_allclose(ax.lines[0].get_ydata(), [2, 4])
    lows = ax.collections[0].get_paths()[0].vertices
    std = values[:, :2].std(axis=1, ddof=1)
    assert_allclose([lows[:, 1].min(), lows[:, 1].max()], [2 - std[0], 4 + std[1]])


def test_curves_of_one_epoch_can_be_drawn(tmp_path):
    pictures.curves(tmp_path / "one.png", [{"epoch": 1, "a": 2.0}], {"A": ["a"]})
    assert imread(tmp_path / "one.png").std() > 0


def test_an_animation_shows_the_pictures_in_their_order(tmp_path):
    paths = [tmp_path / f"{grey}.png" for grey in (0.0, 0.5, 1.0)]
    for path in paths:
        pictures.save(path, np.full((8, 8, 3), float(path.stem)))
    pictures.animate(tmp_path / "all.gif", paths)
    with Image.open(tmp_path / "all.gif") as animation:
        greys = []
        for frame in range(animation.n_frames):
            animation.seek(frame)
            greys.append(np.asarray(animation.convert("L")).mean())
    assert_allclose(greys, [0, 127, 255], atol=2)
