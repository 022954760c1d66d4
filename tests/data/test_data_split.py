"""The held-out share: a tenth, by contents alone, of each class."""

import numpy as np
import pytest

from jaxgen.data.split import digest, held_out

DIGESTS = [digest(bytes([i % 256, i // 256])) for i in range(5000)]


def test_a_tenth_is_held_out():
    assert held_out(DIGESTS, np.zeros(5000, int)).mean() == pytest.approx(0.1, abs=0.015)


def test_the_hash_is_that_of_blake2b():
    """So that the split is the same on every machine, and in every version."""
    assert digest(b"jaxgen").hex() == "e2364dd87ca3cbd0df7c9d472ace54db"


def test_order_and_labels_do_not_matter():
    one = held_out(DIGESTS, np.arange(5000) % 7)
    order = np.random.default_rng(0).permutation(5000)
    other = held_out([DIGESTS[i] for i in order], np.arange(5000)[order] % 3)
    np.testing.assert_array_equal(other, one[order])


def test_an_image_that_is_added_moves_no_other():
    whole = held_out(DIGESTS, np.zeros(5000, int))
    np.testing.assert_array_equal(held_out(DIGESTS[:3000], np.zeros(3000, int)), whole[:3000])


def test_equal_images_stay_together():
    copies = DIGESTS[:100] * 3
    label = np.repeat(np.arange(3), 100)  # each copy in another class
    one, two, three = np.split(held_out(copies, label), 3)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("size", [2, 3, 5, 10])
def test_every_class_has_an_image_on_either_side(size):
    num_classes = 500
    label = np.arange(size * num_classes) % num_classes
    test = held_out(DIGESTS[: len(label)], label)
    for number in range(num_classes):
        assert 0 < test[label == number].sum() < size


def test_a_class_of_one_image_is_trained_on():
    """Also if that image is there twice."""
    assert not held_out(DIGESTS[:50], np.arange(50)).any()
    assert not held_out(DIGESTS[:50] * 2, np.tile(np.arange(50), 2)).any()


def test_copies_of_a_class_s_only_test_image_go_with_it():
    digests = [DIGESTS[0]] * 3 + [DIGESTS[1]] * 3
    test = held_out(digests, np.zeros(6, int))
    assert test.sum() == 3
    assert test[:3].all() or test[3:].all()
