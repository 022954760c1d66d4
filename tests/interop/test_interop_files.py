"""Files of weights as they are found and as they are written."""

import argparse
import errno
import subprocess
import sys
from pathlib import Path, PosixPath

import numpy as np
import pytest
import safetensors.numpy
from weight_files import assert_refused, assert_same, tensors

from jaxgen.errors import InputError
from jaxgen.interop.files import load, save


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth", ".ckpt"])
def test_what_is_saved_comes_back_bit_by_bit(state_dict, tmp_path, suffix):
    if suffix != ".safetensors":
        pytest.importorskip("torch")
    path = tmp_path / f"weights{suffix}"
    state_dict["fc_mu.weight"] = state_dict["fc_mu.weight"].T  # not contiguous
    save(path, state_dict)
    weights = load(path)
    assert_same(state_dict, weights.arrays)
    assert weights.notice == ""


def test_pytorch_reads_what_is_saved(torch, state_dict, tmp_path):
    for suffix in (".pt", ".pth", ".ckpt"):
        save(tmp_path / f"weights{suffix}", state_dict)
        stored = torch.load(tmp_path / f"weights{suffix}", weights_only=True)
        stored = stored["state_dict"] if suffix == ".ckpt" else stored
        assert_same(state_dict, {name: tensor.numpy() for name, tensor in stored.items()})


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".pth.tar", ".safetensors", ""])
@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_the_content_decides_and_not_the_suffix(torch, state_dict, tmp_path, suffix, kind):
    path = tmp_path / f"weights{suffix}"
    if kind == "safetensors":
        safetensors.numpy.save_file(state_dict, path, metadata={"format": "pt"})
    else:
        is_zip = kind == "zip"
        torch.save(tensors(torch, state_dict), path, _use_new_zipfile_serialization=is_zip)
    assert_same(state_dict, load(path).arrays)


@pytest.mark.parametrize(
    "keys",
    [["state_dict"], ["model"], ["model_state_dict"], ["net"], ["ema"], ["checkpoint", "params"]],
)
def test_a_state_dict_is_found_under_any_key(torch, state_dict, tmp_path, keys):
    linear = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(linear.parameters())
    linear(torch.ones(3)).sum().backward()
    optimizer.step()  # so that it has tensors
    checkpoint = tensors(torch, state_dict)
    checkpoint["encoder.0.1.num_batches_tracked"] = torch.tensor(7)
    for key in reversed(keys):
        checkpoint = {
            "epoch": 3,
            "optimizer": optimizer.state_dict(),
            "optimizer_states": [optimizer.state_dict()],
            "moments": optimizer.state_dict()["state"],
            "sharded_optimizer": {
                "state": {"weight": {"exp_avg": torch.ones(2)}},
                "param_groups": [],
            },
            "lr_scheduler": {"last_epoch": 3, "_last_lr": [1e-3]},
            "loss": torch.tensor(float("nan")),
            "losses": torch.tensor([2.0, 1.0]),
            "metrics": {"best": torch.tensor(float("inf"))},
            "rng_state": torch.get_rng_state(),
            "best_score": np.float64(0.5),
            "history": np.ones(3),
            "args": argparse.Namespace(learning_rate=1e-3, data=PosixPath("data")),
            "hyper_parameters": {"latent_dim": 3, "name": "vae", "nothing": None},
            key: checkpoint,
        }
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(checkpoint, path)
    assert_same(state_dict, load(path).arrays)


def test_numpy_1_wrote_its_numbers_under_another_name(torch, state_dict, tmp_path):
    path = tmp_path / "checkpoint.pt"
    checkpoint = {"model": tensors(torch, state_dict), "best_score": np.float64(0.5)}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert b"numpy._core.multiarray" in data
    path.write_bytes(data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert_same(state_dict, load(path).arrays)


def test_parameters_of_a_live_network_are_tensors_too(torch, tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    torch.save(dict(network.named_parameters()), tmp_path / "parameters.pt")
    expected = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
    assert_same(expected, load(tmp_path / "parameters.pt").arrays)


def test_several_networks_keep_their_names(torch, state_dict, tmp_path):
    networks = {name: tensors(torch, state_dict) for name in ("generator", "discriminator")}
    expected = {f"{network}.{name}": x for network in networks for name, x in state_dict.items()}
    for checkpoint in (networks, {"state_dict": networks, "epoch": 3}):
        torch.save(checkpoint, tmp_path / "gan.pt")
        assert_same(expected, load(tmp_path / "gan.pt").arrays)


def test_a_flipped_bit_in_an_exported_file_is_noticed(state_dict, tmp_path):
    path = tmp_path / "weights.safetensors"
    save(path, state_dict)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    num_bytes = sum(array.nbytes for array in state_dict.values())
    for position in rng.integers(num_bytes, size=30):
        flipped = bytearray(content)
        flipped[-1 - position] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"weights\.safetensors is damaged"):
            load(path)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("kind", ["torch", "safetensors"])
def test_other_precisions_are_cast_to_float32_and_that_is_said(torch, tmp_path, name, kind):
    values = [1 / 3, -2.5, 1e-4]
    tensor = torch.tensor(values, dtype=getattr(torch, name))
    path = tmp_path / "weights"
    weights = {"a": tensor, "b": tensor.clone(), "c": torch.ones(2)}
    if kind == "torch":
        torch.save(weights, path)
    else:
        pytest.importorskip("safetensors.torch").save_file(weights, path)
    weights, notice = load(path)
    arrays = {name: np.asarray(array) for name, array in weights.items()}
    assert notice == f"The weights are cast from {name} to float32."
    significant_bits = {"float16": 11, "bfloat16": 8, "float64": 24}[name]
    np.testing.assert_allclose(arrays["a"], values, rtol=2.0**-significant_bits)
    assert_same({"a": tensor.float().numpy()}, {"a": weights["a"]})
    assert arrays["c"].dtype == np.float32


def test_mixed_precisions_are_all_named(tmp_path):
    weights = {"a": np.ones(2, "f2"), "b": np.ones(2, "f8"), "c": np.ones(2, "f4")}
    safetensors.numpy.save_file(weights, tmp_path / "weights")
    notice = load(tmp_path / "weights").notice
    assert notice == "The weights are cast from float16 and float64 to float32."


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_weights_that_are_not_finite_are_refused_by_name(state_dict, tmp_path, value):
    state_dict["fc_mu.weight"] = state_dict["fc_mu.weight"].astype("f8")
    state_dict["fc_mu.weight"][1, 2] = value
    save(tmp_path / "weights.safetensors", state_dict)
    assert_refused(
        tmp_path / "weights.safetensors", r"fc_mu\.weight has values that are NaN or inf"
    )


def test_safetensors_need_no_pytorch(torch, state_dict, tmp_path):
    save(tmp_path / "weights.safetensors", state_dict)
    torch.save(tensors(torch, state_dict), tmp_path / "weights.pt")
    (tmp_path / "empty.pt").touch()
    program = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path\n"
        "from jaxgen.interop.files import load; load(Path('weights.safetensors'))\n"
        "for name in ('empty.pt', 'weights.pt'):\n"
        "    try: load(Path(name))\n"
        "    except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "empty.pt is damaged or not a file of weights: save the weights again.",
        "This needs PyTorch: run pip install 'jaxgen[torch]'.",
    ]


def test_jaxgen_never_imports_pytorch_by_itself():
    program = (
        "import sys, jaxgen.interop.torch, jaxgen.interop.files, jaxgen.commands.main;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_no_half_of_a_file_stays_where_it_cannot_be_written(state_dict, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"There is no directory .*missing: create it"):
        save(tmp_path / "missing" / "weights.safetensors", state_dict)

    def fill_up(path, data):
        with path.open("wb") as file:
            file.write(data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    with pytest.raises(OSError, match="No space left"):
        save(tmp_path / "weights.safetensors", state_dict)
    assert list(tmp_path.iterdir()) == []


def test_files_are_written_in_known_formats_only(tmp_path, state_dict):
    with pytest.raises(InputError, match=r"\.pt, \.pth, \.ckpt or \.safetensors"):
        save(tmp_path / "weights.bin", state_dict)
    assert list(tmp_path.iterdir()) == []
