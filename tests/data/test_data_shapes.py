"""The generated set: the same everywhere, and what its factors say."""

import hashlib
import time

import numpy as np
import pytest
from PIL import Image

from jaxgen import data
from jaxgen.data import shapes
from jaxgen.data.shapes import CLASS_NAMES, Factors
from jaxgen.errors import InputError

DIGESTS = {
    "train": "5cc2dfc538f79c9baa016cb8d2fa0b372e478ca3a851e37d1ea56c9048bc9c8c",
    "test": "e4524553c2a83cd7608f363a7bc143356e5aeef1aa94ef19845ee1fdc2b9d0c7",
}


def draw(shape, size=64, hue=0.0, radius=0.4, rotation=0.0):
    def one(value):
        return np.array([value], float)

    factors = Factors(np.array([shape], np.int32), one(hue), one(radius), one(rotation))
    return shapes.draw(factors, size)[0]


def mask(image):
    """The share of each pixel that the shape covers."""
    background = round(shapes.BACKGROUND * 255)
    channel = image[..., image.reshape(-1, 3).max(0).argmax()].astype(float)
    return (channel - background) / (channel.max() - background)


@pytest.mark.parametrize("split", DIGESTS)
def test_the_images_are_the_same_on_every_machine(split):
    image, label = shapes.read(split)
    digest = hashlib.sha256(image.tobytes() + label.astype("<i4").tobytes()).hexdigest()
    assert digest == DIGESTS[split]


def test_both_splits_are_drawn_in_seconds():
    start = time.process_time()
    train, test = (data.load("shapes", split) for split in ("train", "test"))
    assert time.process_time() - start < 5
    assert train.image.shape == (4000, 64, 64, 3)
    assert test.image.shape == (1000, 64, 64, 3)
    assert np.bincount(train.label).tolist() == [800] * 5
    assert np.bincount(test.label).tolist() == [200] * 5
    assert data.class_names(data.find("shapes", data.Preparation())) == CLASS_NAMES
    of_train = {image.tobytes() for image in np.asarray(train.image)}
    assert not of_train & {image.tobytes() for image in np.asarray(test.image)}


def test_factors_are_uniform_and_independent():
    factors = shapes.factors("train")
    unit = [
        factors.hue,
        (factors.size - 0.2) / 0.22,
        (factors.rotation + np.pi / 8) / (np.pi / 4),
    ]
    for values in unit:
        assert 0 <= values.min() < 0.01
        assert 0.99 < values.max() < 1
        assert abs(values.mean() - 0.5) < 0.02
    assert abs(np.corrcoef([*unit, factors.shape]) - np.eye(4)).max() < 0.05


AREAS = {  # of the shape with radius 1
    "cross": 4 * 0.9 * 2 * 0.35 - (2 * 0.35) ** 2,
    "half disc": np.pi / 2,
    "square": 1.4**2,
    "star": 5 * np.sin(np.deg2rad(36)) * 0.309 / np.cos(np.deg2rad(36)),
    "triangle": 3 * np.sqrt(3) / 4,
}


@pytest.mark.parametrize("shape", range(5))
def test_each_shape_has_its_area_at_every_size_and_rotation(shape):
    for radius, rotation in [(0.2, 0.0), (0.42, 0.0), (0.4, 0.3)]:
        area = mask(draw(shape, 128, radius=radius, rotation=rotation)).mean()
        expected = AREAS[CLASS_NAMES[shape]] * radius**2
        np.testing.assert_allclose(area, expected, rtol=0.02)


@pytest.mark.parametrize("shape", range(5))
def test_a_shape_looks_the_same_after_its_period_only(shape):
    start, period = draw(shape, rotation=0.2), 2 * np.pi / (4, 1, 4, 5, 3)[shape]
    assert period > np.pi / 4  # of rotations from one end to the other
    again = draw(shape, rotation=0.2 + period)
    assert abs(start.astype(int) - again).max() <= 1
    assert abs(start.astype(int) - draw(shape, rotation=0.2 + 0.3 * period)).max() > 100


def test_rotation_is_counterclockwise_from_the_upright_position():
    flat_below = mask(draw(1))  # the half disc
    assert flat_below[:31].sum() > 10 * flat_below[33:].sum()
    quarter = mask(draw(1, rotation=np.pi / 2))
    assert quarter[:, :31].sum() > 10 * quarter[:, 33:].sum()  # what was above is now on the left


@pytest.mark.parametrize(("hue", "strongest"), [(0.0, 0), (1 / 3, 1), (2 / 3, 2)])
def test_the_hue_is_that_of_hsv(hue, strongest):
    center = draw(2, hue=hue)[32, 32]
    assert center.argmax() == strongest
    assert sorted(center) == [61, 61, 242]


def test_edges_are_antialiased():
    levels = np.unique(mask(draw(4, rotation=0.1)).round(2))
    assert len(levels) > 20


def test_it_is_drawn_at_the_size_that_is_asked_for():
    small = data.load("shapes", "test", image_size=32)
    assert small.image.shape == (1000, 32, 32, 3)
    halved = np.asarray(data.load("shapes", "test").image).reshape(1000, 32, 2, 32, 2, 3)
    assert abs(halved.mean((2, 4)) - np.asarray(small.image)).mean() < 1


def test_an_unknown_split_or_shape_is_named():
    with pytest.raises(InputError, match="shapes has no split 'val', only train and test"):
        data.load("shapes", "val")
    with pytest.raises(InputError, match="labels are 0 to 4"):
        draw(5)


def test_the_export_is_a_folder_for_each_shape(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "NUM_IMAGES", {"train": 15, "test": 5})
    shapes.export(tmp_path / "out")
    image, label = shapes.read("train")
    files = sorted((tmp_path / "out").rglob("*.png"))
    assert len(files) == 20
    for i in range(15):
        path = tmp_path / "out" / "train" / CLASS_NAMES[label[i]] / f"{i:04d}.png"
        np.testing.assert_array_equal(np.asarray(Image.open(path)), image[i])
    with pytest.raises(InputError, match="is not empty: choose a new directory"):
        shapes.export(tmp_path / "out")
