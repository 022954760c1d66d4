"""torch-fidelity is called with the right images, and its formulas agree with ours."""

import importlib
import sys
import types
import urllib.error

import numpy as np
import pytest
from numpy.testing import assert_allclose

from jaxgen import InputError
from jaxgen.evaluation import distances, neighbors
from jaxgen.interop import fidelity

SHAPE = (8, 8, 1)
NAME = "jaxgen-test-projection"
PROJECTION = np.random.default_rng(0).normal(size=(3 * 8 * 8, 6))


def images(n, seed, low):
    return np.random.default_rng(seed).integers(low, 256, (n, *SHAPE), np.uint8)


def features(image):
    """What the extractor below computes: a projection of the three channels, in NumPy."""
    rgb = np.broadcast_to(image, (*image.shape[:3], 3)).transpose(0, 3, 1, 2)
    return (rgb.reshape(len(image), -1) / 255) @ PROJECTION


def stand_in_for_torchvision():
    """Replace torchvision where it was built for another PyTorch: tensors do not need it."""
    names = ["torchvision", "torchvision.datasets", "torchvision.transforms"]
    modules = {name: types.ModuleType(name) for name in [*names, f"{names[2]}.functional"]}
    for name in ("CIFAR10", "CIFAR100", "STL10"):
        setattr(modules["torchvision.datasets"], name, object)
    sys.modules.update(modules)


@pytest.fixture(scope="module")
def extractor():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        stand_in_for_torchvision()
    torch_fidelity = pytest.importorskip(
        "torch_fidelity", reason="torch-fidelity is not installed: pip install 'jaxgen[fid]'"
    )

    class Projection(torch_fidelity.FeatureExtractorBase):
        def __init__(self, name, features_list, **kwargs):
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list():
            return ("projection",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "projection"

        def forward(self, image):
            assert image.dtype == torch.uint8
            assert image.shape[1:] == (3, 8, 8)
            return ((image.double() / 255).flatten(1) @ torch.tensor(PROJECTION),)

    torch_fidelity.register_feature_extractor(NAME, Projection)
    return NAME


def test_its_frechet_distance_equals_ours(extractor):
    samples, real = images(300, 1, 0), images(200, 2, 30)
    actual = fidelity.distances(samples, real, 3, extractor)
    expected = distances.frechet_distance(features(samples), features(real))
    assert_allclose(actual["frechet_distance"], expected, rtol=1e-6)


def test_its_kernel_distance_equals_ours_where_a_subset_is_the_whole_set(extractor):
    samples, real = images(200, 1, 0), images(200, 2, 30)
    actual = fidelity.distances(samples, real, 3, extractor)
    expected = distances.unbiased_mmd(features(samples), features(real))
    assert_allclose(actual["kernel_distance"], expected, rtol=1e-6)


def test_its_precision_and_recall_are_not_swapped(extractor):
    samples, real = images(300, 1, 0), images(200, 2, 30)
    actual = fidelity.distances(samples, real, 3, extractor)
    expected = neighbors.coverage(features(real), features(samples), 3)
    assert expected.precision != expected.recall
    assert_allclose(actual["precision"], expected.precision, rtol=1e-6)
    assert_allclose(actual["recall"], expected.recall, rtol=1e-6)


def test_weights_that_cannot_be_downloaded_are_named(extractor, monkeypatch):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    module = "torch_fidelity.feature_extractor_inceptionv3"
    monkeypatch.setattr(f"{module}.load_state_dict_from_url", no_network)
    message = r"weights of inception-v3-compat cannot be had \(.*no route to host.*\): put their"
    with pytest.raises(InputError, match=message):
        fidelity.require_weights()


def test_weights_that_are_there_suffice(extractor):
    fidelity.require_weights(extractor)


def test_without_torch_fidelity_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity.registry", None)
    with pytest.raises(InputError, match=r"run pip install 'jaxgen\[fid\]'"):
        fidelity.require_weights()
