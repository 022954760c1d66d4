"""Collapse is called by its name, and only when it is there."""

import numpy as np
import pytest

from jaxgen.evaluation.collapse import describe_collapse

NAMES = ("cat", "dog", "fox")


def samples(spread):
    """Three classes of ten images whose pixels differ by so much."""
    noise = np.random.default_rng(0).normal(size=(3, 10, 8, 8, 1))
    return 0.5 + spread * noise


def test_varied_samples_and_an_undecided_discriminator_are_fine():
    assert describe_collapse(samples(0.1), 0.25, NAMES) == ""


def test_constant_outputs_are_named_with_their_class():
    images = samples(0.1)
    images[1] = images[1, 0]
    message = describe_collapse(images, 0.25, NAMES)
    assert "the same image whatever the noise (class dog)" in message


def test_a_discriminator_that_has_won_is_named():
    assert "stuck at its bound" in describe_collapse(samples(0.1), 1e-5, NAMES)


@pytest.mark.parametrize("loss", [-3.0, 0.01])
def test_a_loss_away_from_its_bound_is_fine(loss):
    assert describe_collapse(samples(0.1), loss, NAMES) == ""
