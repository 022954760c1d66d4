"""Files of weights, and what is wrong with them."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgen.errors import InputError
from jaxgen.gan.models import Generator
from jaxgen.interop.layouts import model_for
from jaxgen.interop.torch import from_torch, load, save, to_numpy, to_torch

MODEL = Generator((4, 4, 1), 3, 10, (6, 7))
SHAPES = {
    "label_emb.weight": (10, 10),
    "model.0.weight": (6, 13),
    "model.0.bias": (6,),
    "model.2.weight": (7, 6),
    "model.2.bias": (7,),
    "model.3.weight": (7,),
    "model.3.bias": (7,),
    "model.3.running_mean": (7,),
    "model.3.running_var": (7,),
    "model.5.weight": (16, 7),
    "model.5.bias": (16,),
}


@pytest.fixture
def state_dict():
    random = np.random.default_rng(0)
    return {name: random.normal(size=shape).astype("f4") for name, shape in SHAPES.items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(np.asarray(other[name]), array)


@pytest.mark.parametrize("prefix", ["model.", "module.", "model.module."])
def test_the_prefix_of_a_wrapper_is_dropped(state_dict, prefix):
    wrapped = {prefix + name: array for name, array in state_dict.items()}
    assert model_for(wrapped) == MODEL
    assert_same(to_numpy(MODEL, from_torch(MODEL, wrapped)), state_dict)


def test_one_error_lists_all_that_does_not_fit(state_dict):
    del state_dict["model.0.bias"]
    state_dict["model.2.weight"] = np.zeros((6, 7))
    state_dict["surplus"] = np.zeros(3)
    with pytest.raises(InputError) as raised:
        from_torch(MODEL, state_dict)
    message = str(raised.value)
    assert "missing: model.0.bias [6] (here params/Dense_0/bias)" in message
    assert (
        "misshapen: model.2.weight [6, 7] (here params/Dense_1/kernel) should be [7, 6]" in message
    )
    assert "left over: surplus [3]" in message


def test_variables_of_another_model_are_refused_in_the_same_way(state_dict):
    variables = from_torch(MODEL, state_dict)
    del variables["params"]["Embed_0"]
    variables["batch_stats"]["BatchNorm_0"]["more"] = np.zeros(2)
    with pytest.raises(InputError) as raised:
        to_numpy(MODEL, variables)
    assert "missing: params/Embed_0/embedding [10, 10] (here label_emb.weight)" in str(raised.value)
    assert "left over: batch_stats/BatchNorm_0/more [2]" in str(raised.value)


@pytest.mark.parametrize("names", [["conv.weight"], ["fc_mu.weight"], []])
def test_other_networks_are_named_as_such(names):
    with pytest.raises(InputError, match="not the weights of one of the course's networks"):
        model_for({name: np.zeros((2, 2)) for name in names})


def test_images_that_are_not_square_are_refused(state_dict):
    state_dict["model.5.weight"] = np.zeros((17, 7))
    with pytest.raises(InputError, match="no square image"):
        model_for(state_dict)


def test_safetensors_need_no_pytorch(state_dict, tmp_path):
    save(tmp_path / "weights.safetensors", state_dict)
    assert_same(load(tmp_path / "weights.safetensors"), state_dict)
    program = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path;"
        "from jaxgen.interop.torch import load; load(Path('weights.safetensors'));"
        "load(Path('weights.pt'))"
    )
    (tmp_path / "weights.pt").touch()
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "InputError: This needs PyTorch: pip install 'jaxgen[torch]'" in done.stderr


def test_jaxgen_never_imports_pytorch_by_itself():
    program = "import sys, jaxgen.interop.torch, jaxgen.cli;assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt"])
def test_pytorchs_own_files_come_back_as_they_were(state_dict, tmp_path, suffix):
    torch = pytest.importorskip("torch")
    path = tmp_path / f"weights{suffix}"
    save(path, state_dict)
    assert_same(load(path), state_dict)
    stored = torch.load(path, weights_only=True)
    assert ("state_dict" in stored) == (suffix == ".ckpt")


def test_several_networks_in_one_file_keep_their_names(state_dict, tmp_path):
    torch = pytest.importorskip("torch")
    tensors = to_torch(MODEL, from_torch(MODEL, state_dict))
    torch.save({"generator": tensors, "discriminator": tensors}, tmp_path / "gan.pt")
    assert set(load(tmp_path / "gan.pt")) == {
        f"{network}.{name}" for network in ("generator", "discriminator") for name in state_dict
    }


def test_no_half_of_a_file_stays_where_it_cannot_be_written(state_dict, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"There is no directory .*missing: make it"):
        save(tmp_path / "missing" / "weights.safetensors", state_dict)

    def fill_up(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path / "weights.safetensors", state_dict)
    assert list(tmp_path.iterdir()) == []


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Malicious()}, "evil.pt")
    with pytest.raises(InputError, match=r"holds \w+\.mkdir, and .* could run code: it is refused"):
        load(tmp_path / "evil.pt")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["text.pt", "text.safetensors", "empty.pth"])
def test_damaged_files_are_named(tmp_path, name):
    if name != "text.safetensors":
        pytest.importorskip("torch")
    (tmp_path / name).write_text("" if name.startswith("empty") else "no weights at all")
    with pytest.raises(InputError, match=f"{name} is damaged"):
        load(tmp_path / name)


def test_what_is_no_state_dict_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(InputError, match="holds no state dict"):
        load(tmp_path / "list.pt")


def test_unknown_files_are_refused(tmp_path, state_dict):
    with pytest.raises(InputError, match="is no file"):
        load(tmp_path / "missing.pt")
    (tmp_path / "weights.bin").touch()
    with pytest.raises(InputError, match=r"\.pt, \.pth, \.ckpt and \.safetensors"):
        load(tmp_path / "weights.bin")
    with pytest.raises(InputError, match=r"\.pt, \.pth, \.ckpt and \.safetensors"):
        save(tmp_path / "weights.bin", state_dict)
