import idx
import numpy as np
import pytest

from jaxgen.data import load, make_mnist_5k
from jaxgen.data.mnist import IMAGES, LABELS
from jaxgen.errors import InputError


@pytest.mark.parametrize(("split", "num_per_class"), [("train", 400), ("test", 100)])
def test_splits_are_balanced_throughout(split, num_per_class):
    image, label = load("mnist_5k", split)
    assert image.shape == (10 * num_per_class, 28, 28, 1)
    assert (image.dtype, label.dtype) == (np.uint8, np.int32)
    np.testing.assert_array_equal(label, np.tile(np.arange(10), num_per_class))
    assert image.min() == 0
    assert image.max() == 255


def test_no_digit_occurs_twice():
    digits = [
        pixels.tobytes() for split in ("train", "test") for pixels in load("mnist_5k", split)[0]
    ]
    assert len(set(digits)) == len(digits) == 5000


def test_digits_are_of_mnists_training_set(mnist_originals):
    def original(prefix):
        return idx.pairs(
            idx.decode(mnist_originals / (prefix + IMAGES)),
            idx.decode(mnist_originals / (prefix + LABELS)),
        )

    ours = {pair for split in ("train", "test") for pair in idx.pairs(*load("mnist_5k", split))}
    assert ours <= set(original("train"))
    assert ours.isdisjoint(original("t10k"))


def test_unknown_split_is_named_with_those_there_are():
    with pytest.raises(InputError, match="no split 'validation', only train and test"):
        load("mnist_5k", "validation")


def test_making_the_file_again(tmp_path):
    rows = np.zeros((1100, 785), int)
    rows[:, 0] = np.arange(1100) % 251  # tells the rows apart
    rows[:, -1] = np.repeat(np.arange(10), 110)
    np.savetxt(tmp_path / "digits.csv", rows, delimiter=",", fmt="%d")
    make_mnist_5k.main(str(tmp_path / "digits.csv"), tmp_path / "digits.npz")
    with np.load(tmp_path / "digits.npz") as made:
        assert made["train_image"].shape == (100, 28, 28, 1)
        assert made["test_image"].shape == (1000, 28, 28, 1)
        image = np.concatenate([made["train_image"], made["test_image"]])
        label = np.concatenate([made["train_label"], made["test_label"]])
    np.testing.assert_array_equal(label, np.tile(np.arange(10), 110))
    assert idx.pairs(image, label) == idx.pairs(rows[:, :-1].astype(np.uint8), rows[:, -1])
