"""A file with several networks is split into them."""

import numpy as np
import pytest
from weight_files import assert_same, pytorchs_state_dict

from jaxgen.errors import InputError
from jaxgen.interop.torch import split_networks

NETWORKS = ("generator", "discriminator", "ema")


def test_a_file_is_split_into_its_networks():
    generator, discriminator = map(pytorchs_state_dict, NETWORKS[:2])
    arrays = {f"generator.{name}": x for name, x in generator.items()}
    arrays |= {f"discriminator.{name}": x for name, x in discriminator.items()}
    arrays["loss"] = np.zeros(2)
    for prefix in ("", "_orig_mod.module."):
        split = split_networks({prefix + name: x for name, x in arrays.items()}, NETWORKS)
        assert split.keys() == {"generator", "discriminator"}
        assert_same(split["generator"], generator)
        assert_same(split["discriminator"], discriminator)
    assert split_networks(generator, NETWORKS) == {}


def test_names_of_networks_are_whole_words_and_the_first_counts():
    values = dict(zip("abcd", np.arange(4.0), strict=True))
    names = {
        "ema_generator.weight": values["a"],
        "generator_state_dict.ema.weight": values["b"],
        "x.ema_state_dict.generator.weight": values["c"],
        "generators.weight": values["d"],
    }
    assert split_networks(names, NETWORKS) == {
        "generator": {"ema.weight": values["b"]},
        "ema": {"generator.weight": values["c"]},
    }


def test_a_network_that_is_there_twice_is_not_split():
    names = {"model.generator.weight": np.zeros(2), "old.generator.weight": np.zeros(2)}
    with pytest.raises(InputError, match=r"more than one generator\.weight: keep one"):
        split_networks(names, NETWORKS)
