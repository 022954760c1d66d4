"""Names and shapes: which model a state dict belongs to, and all that may not fit."""

import contextlib
import re

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from our_side import entries_of, from_torch, model_for, to_numpy, variables_like
from weight_files import assert_same, pytorchs_state_dict

from jaxgen.errors import InputError
from jaxgen.gan import torch_names as gan_names
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.interop import torch as interop
from jaxgen.vae import torch_names as vae_names
from jaxgen.vae.models import MLPVAE, ConvVAE

MODELS = {
    "conv": ConvVAE((8, 8, 3), 3, (4, 5)),
    "mlp": MLPVAE((4, 4, 3), 3, (7, 6)),
    "generator": Generator((4, 4, 3), 3, 10, (6, 7, 8)),
    "discriminator": Discriminator((4, 4, 3), 10, (8, 7, 6), dropout_rate=0.0),
}
FAMILIES = {
    "conv": vae_names,
    "mlp": vae_names,
    "generator": gan_names,
    "discriminator": gan_names,
}


@pytest.mark.parametrize("network", MODELS)
@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "model.",
        "_orig_mod.",
        "net.",
        "model.model.",
        "module._orig_mod.",
        "_orig_mod.module.model.net.",
        "any.thing.",
    ],
)
def test_the_prefix_of_wrappers_does_not_matter(network, prefix):
    state_dict = pytorchs_state_dict(network)
    wrapped = {prefix + name: array for name, array in state_dict.items()}
    assert model_for(wrapped) == MODELS[network]
    assert_same(state_dict, to_numpy(MODELS[network], from_torch(MODELS[network], wrapped)))


def test_a_submodule_may_be_compiled_or_sharded():
    state_dict = pytorchs_state_dict("conv")
    wrapped = {
        f"model.{name}".replace("encoder.", "encoder._orig_mod.").replace(
            "final_layer.", "final_layer._fsdp_wrapped_module._orig_mod."
        ): array
        for name, array in state_dict.items()
    }
    assert model_for(wrapped) == MODELS["conv"]
    assert_same(state_dict, to_numpy(MODELS["conv"], from_torch(MODELS["conv"], wrapped)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_tensors_keep_their_values_and_types(dtype):
    torch = pytest.importorskip("torch")
    model, arrays = MODELS["generator"], pytorchs_state_dict("generator")
    tensors = {
        name: torch.tensor(array, dtype=getattr(torch, dtype), requires_grad=True)
        for name, array in arrays.items()
    }
    variables = from_torch(model, tensors)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {dtype}
    variables = jax.tree.map(lambda leaf: leaf.astype(np.float32), variables)
    back = interop.to_torch(entries_of(model), variables)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor.detach().float()), name


def test_counters_and_what_lies_beside_the_network_are_left_out():
    state_dict = pytorchs_state_dict("generator")
    averaged = {f"module.{name}": array for name, array in state_dict.items()}
    averaged["module.model.3.num_batches_tracked"] = np.array(7)
    averaged |= {"n_averaged": np.array(3), "perceptual.conv.weight": np.zeros((2, 2))}
    model = MODELS["generator"]
    assert_same(state_dict, to_numpy(model, from_torch(model, averaged)))


@pytest.mark.parametrize("prefixes", [("ema.", "model."), ("", "model."), ("", "_orig_mod.")])
def test_a_network_that_is_there_twice_is_refused(prefixes):
    state_dict = pytorchs_state_dict("mlp")
    both = {prefix + name: x for prefix in prefixes for name, x in state_dict.items()}
    pattern = re.escape("twice, as {}* and {}*: save only one".format(*prefixes))
    with pytest.raises(InputError, match=pattern):
        vae_names.model_for(both)
    with pytest.raises(InputError, match=pattern):
        from_torch(MODELS["mlp"], both)


def test_a_prefix_does_not_hide_an_incomplete_network():
    state_dict = pytorchs_state_dict("mlp")
    half = {f"model.{name}": x for name, x in state_dict.items() if "decoder" not in name}
    half |= {name: x for name, x in state_dict.items() if "decoder" in name}
    with pytest.raises(InputError, match=r"missing: decoder\.0\.0\.bias"):
        from_torch(MODELS["mlp"], half)


@pytest.mark.parametrize("network", MODELS)
def test_the_other_family_is_told_apart(network):
    (other,) = {vae_names, gan_names} - {FAMILIES[network]}
    with pytest.raises(InputError, match=r"not the weights of a .*: .* and \d+ more\."):
        other.model_for(pytorchs_state_dict(network))


@pytest.mark.parametrize("names", [["conv.weight"], ["fc_mu.weight"], ["label_emb.weight"], []])
@pytest.mark.parametrize("family", [vae_names, gan_names])
def test_other_networks_are_named_as_such(family, names):
    with pytest.raises(InputError, match=f"their names are {', '.join(names)}"):
        family.model_for({name: np.zeros((2, 2)) for name in names})


@pytest.mark.parametrize(
    ("network", "name", "shape"),
    [
        ("conv", "fc_mu.weight", (3, 30)),
        ("mlp", "encoder.0.0.weight", (7, 47)),
        ("generator", "model.8.weight", (47, 8)),
        ("discriminator", "model.0.weight", (8, 57)),
        ("discriminator", "model.0.weight", (8, 10)),
        ("discriminator", "model.0.weight", (8, 3)),
    ],
)
def test_images_that_are_not_square_are_refused(network, name, shape):
    with pytest.raises(InputError, match=r"-?\d+ values are not a square image of .* channels"):
        FAMILIES[network].model_for({**pytorchs_state_dict(network), name: np.zeros(shape)})


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ("conv", "encoder.1.0.weight"),
        ("conv", "encoder.0.0.weight"),
        ("mlp", "encoder.0.0.weight"),
        ("generator", "model.0.weight"),
        ("discriminator", "model.0.weight"),
    ],
)
def test_weights_without_any_values_are_refused(network, name):
    state_dict = pytorchs_state_dict(network)
    state_dict[name] = np.zeros([0] * state_dict[name].ndim)
    with pytest.raises(InputError):
        FAMILIES[network].model_for(state_dict)


@pytest.mark.parametrize("network", MODELS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_shapes_break_the_recognition(network, data):
    """Whatever the shapes under the right names: a model, or an InputError."""
    state_dict = pytorchs_state_dict(network)
    for name in data.draw(st.sets(st.sampled_from(sorted(state_dict)), max_size=3)):
        shape = data.draw(st.none() | st.lists(st.integers(0, 30), max_size=4).map(tuple))
        if shape is None:
            del state_dict[name]
        else:
            state_dict[name] = np.zeros(shape)
    with contextlib.suppress(InputError):
        FAMILIES[network].model_for(state_dict)


@pytest.mark.parametrize(
    "model", [ConvVAE((8, 8, 1), 3, (4, 5), 2), MLPVAE((4, 4, 3), 3, (7, 6), 256)]
)
def test_several_outputs_for_each_value_of_a_pixel_are_recognized(model):
    assert model_for(zeros(model)) == model


def test_one_error_lists_all_that_does_not_fit():
    state_dict = pytorchs_state_dict("generator")
    del state_dict["model.0.bias"]
    state_dict["model.2.weight"] = np.zeros((6, 7))
    state_dict["surplus"] = np.zeros(3)
    with pytest.raises(InputError) as raised:
        from_torch(MODELS["generator"], state_dict)
    assert str(raised.value).splitlines() == [
        "The weights do not fit the model:",
        "  missing: model.0.bias [6] (params/Dense_0/bias)",
        "  unexpected: surplus [3]",
        "  wrong shape: model.2.weight [6, 7], expected [7, 6] (params/Dense_1/kernel)",
    ]


def test_variables_of_another_model_are_refused_in_the_same_way():
    model = MODELS["generator"]
    variables = from_torch(model, pytorchs_state_dict("generator"))
    del variables["params"]["Embed_0"]
    variables["params"]["Dense_3"]["bias"] = np.zeros(16)
    variables["batch_stats"]["BatchNorm_0"]["more"] = np.zeros(2)
    expected = [
        "The variables do not fit the model:",
        "  missing: params/Embed_0/embedding (label_emb.weight)",
        "  unexpected: batch_stats/BatchNorm_0/more [2]",
        "  wrong shape: params/Dense_3/bias [16] (model.8.bias)",
    ]
    with pytest.raises(InputError) as raised:
        to_numpy(model, variables)
    assert str(raised.value).splitlines() == expected
    with pytest.raises(InputError) as raised:
        interop.from_torch(entries_of(model), pytorchs_state_dict("generator"), variables)
    assert str(raised.value).splitlines() == expected


def zeros(model):
    """A state dict of the model's shapes."""
    shapes = variables_like(model)
    return to_numpy(model, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes))


@pytest.mark.parametrize(
    "model", [*MODELS.values(), MODELS["conv"].clone(num_outputs=2), MLPVAE((4, 4, 3), 3, (7,), 4)]
)
def test_channels_of_the_data_set_are_named_as_the_reason(model):
    height, width, _ = model.image_shape
    gray, alpha = (model.clone(image_shape=(height, width, n)) for n in (1, 4))
    with pytest.raises(InputError, match=r"more channels .* \(by 2\): choose a color data set\.$"):
        from_torch(gray, zeros(model))
    with pytest.raises(InputError, match=r"fewer channels .* choose a grayscale data set\.$"):
        from_torch(model, zeros(gray))
    with pytest.raises(InputError, match=r"more channels .* \(by 1\): choose another data set\.$"):
        from_torch(model, zeros(alpha))


@pytest.mark.parametrize(
    "other",
    [
        ConvVAE((8, 8, 1), 9, (4, 5)),  # three times the latents, too
        ConvVAE((8, 8, 3), 9, (4, 5)),
        ConvVAE((8, 8, 3), 3, (4, 5), 3),  # three times the outputs
        ConvVAE((8, 8, 3), 3, (12, 5)),  # three times the features
        ConvVAE((16, 16, 3), 3, (4, 5)),
    ],
)
def test_channels_are_not_blamed_for_other_differences(other):
    with pytest.raises(InputError, match="wrong shape"):
        from_torch(other, pytorchs_state_dict("conv"))
