"""Files that are no weights, or damaged ones: refused by name, without running their code."""

import json
import os
import resource
import struct
import warnings

import numpy as np
import pytest
import safetensors.numpy
from weight_files import assert_refused, assert_same, tensors

from jaxgen.interop.files import load


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_file_that_would_execute_code_is_rejected(torch, tmp_path, monkeypatch, is_zip):
    monkeypatch.chdir(tmp_path)
    checkpoint = {"weight": torch.ones(2), "options": Malicious()}
    torch.save(checkpoint, "evil.pt", _use_new_zipfile_serialization=is_zip)
    assert_refused(tmp_path / "evil.pt", r"contains \w+\.mkdir, .* could execute code .* rejected")
    assert not (tmp_path / "pwned").exists()


def test_a_whole_module_is_rejected(torch, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    assert_refused(tmp_path / "module.pt", r"contains torch\.nn\.modules\.linear\.Linear, .*rejec")


@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_truncated_files_are_damaged_wherever_they_end(torch, state_dict, tmp_path, kind):
    path = tmp_path / "weights"
    if kind == "safetensors":
        safetensors.numpy.save_file(state_dict, path)
    else:
        is_zip = kind == "zip"
        torch.save(tensors(torch, state_dict), path, _use_new_zipfile_serialization=is_zip)
    data = path.read_bytes()
    for size in [*range(12), *np.linspace(12, len(data) - 1, 30, dtype=int)]:
        path.write_bytes(data[:size])
        assert_refused(path, "is damaged|rejected")  # a name cut short is a strange name


def test_a_byte_that_was_flipped_is_noticed(torch, state_dict, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(tensors(torch, state_dict), path)
    data = bytearray(path.read_bytes())
    start = bytes(data).index(state_dict["fc_mu.weight"].tobytes())
    data[start] ^= 1
    path.write_bytes(data)
    assert_refused(path, "is damaged")


def test_a_file_may_have_no_checksums(torch, state_dict, tmp_path):
    path = tmp_path / "weights.pt"
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(tensors(torch, state_dict), path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert_same(state_dict, load(path).arrays)


@pytest.mark.parametrize(
    "content", [b"no weights at all", b"PK\x03\x04", b"\x80\x04", b"12345678{", b"{}", b"\0" * 64]
)
def test_other_files_are_named(torch, tmp_path, content):
    (tmp_path / "weights.pt").write_bytes(content)
    assert_refused(tmp_path / "weights.pt", r"weights\.pt is damaged")


def test_torchscript_and_npz_are_no_state_dicts(torch, tmp_path, recwarn):
    np.savez(tmp_path / "weights.npz", a=np.ones(2))
    assert_refused(tmp_path / "weights.npz", "not a file of weights")
    recwarn.clear()
    archive = tmp_path / "script.pt"
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), archive)
    assert_refused(archive, "not a file of weights")
    assert not recwarn


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 90_000_000) + b"{}",
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}},
    ],
)
def test_a_header_that_claims_too_much_takes_no_memory(tmp_path, header):
    if isinstance(header, dict):
        text = json.dumps(header).encode()
        header = struct.pack("<Q", len(text)) + text
    (tmp_path / "weights").write_bytes(header + b"\0" * 16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_refused(tmp_path / "weights", "is damaged")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**15  # KiB


def test_what_is_no_state_dict_is_refused(torch, tmp_path):
    sparse = torch.eye(3).to_sparse()
    for content, match in [
        ([torch.zeros(2)], "contains no state dict"),
        (torch.zeros(2), "contains no state dict"),
        ({}, "contains no state dict"),
        ({"loss": torch.tensor(1.0), "epoch": 3}, "contains no state dict"),
        ({"codes": torch.zeros(3, dtype=torch.int8)}, "contains no state dict"),
        ({"a": torch.ones(2), "b": sparse}, "b is not a dense tensor"),
        ({"a": torch.ones(2), "b": torch.ones(2, device="meta")}, "b is not a dense tensor"),
    ]:
        torch.save(content, tmp_path / "file.pt")
        assert_refused(tmp_path / "file.pt", match)


def test_paths_that_are_no_files_are_refused(tmp_path):
    assert_refused(tmp_path / "missing.pt", r"missing\.pt is not a file")
    assert_refused(tmp_path, "is not a file")
    assert_refused(tmp_path / ("x" * 300), "cannot be read: File name too long")
