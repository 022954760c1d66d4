"""Files of weights with any content: nothing but named errors, little memory, and no code run."""

import io
import json
import os
import pickle
import re
import resource
import struct
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from jaxgen.errors import InputError
from jaxgen.interop.files import load

KINDS = ("zip", "rezipped", "pickle", "safetensors")
NUMBERS = (b"\xff", b"\x00" * 4, b"\xff" * 8, struct.pack("<Q", 100 << 30), b"J\xff\xff\xff\x7f")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def contents(torch):
    """A file of each kind."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(4, 3)).astype("f4") for name in ("a.weight", "a.bias")}
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    found = {"safetensors": safetensors.numpy.save(arrays)}
    for kind, is_zip in (("zip", True), ("pickle", False)):
        buffer = io.BytesIO()
        checkpoint = {"epoch": 3, "state_dict": tensors, "score": np.float64(0.5)}
        torch.save(checkpoint, buffer, _use_new_zipfile_serialization=is_zip)
        found[kind] = buffer.getvalue()
    return found | {"rezipped": found["zip"]}


def mutate(content, rng):
    """Cut a file, or change, insert or remove a few bytes of it."""
    mutated = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(mutated) + 1))
        match rng.integers(5):
            case 0:
                del mutated[at:]
            case 1:
                del mutated[at : at + int(rng.integers(1, 9))]
            case 2:
                number = NUMBERS[rng.integers(len(NUMBERS))]
                mutated[at : at + len(number)] = number
            case 3:
                mutated[at:at] = rng.bytes(int(rng.integers(1, 9)))
            case _:
                mutated[at : at + 1] = rng.bytes(1)
    return bytes(mutated)


def rezip(content, change):
    """Change the pickle in a zip archive, whose checksums are right again."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            target.writestr(
                entry.filename, change(data) if entry.filename.endswith(".pkl") else data
            )
    return buffer.getvalue()


def load_mutated(torch, tmp_path, kind, number):
    content, rng = contents(torch)[kind], np.random.default_rng(KINDS.index(kind))
    path, read, refused = tmp_path / "weights.pt", 0, 0
    for _ in range(number):
        if kind == "rezipped":
            path.write_bytes(rezip(content, lambda data: mutate(data, rng)))
        else:
            path.write_bytes(mutate(content, rng))
        try:
            load(path)
        except InputError as error:
            refused += "weights.pt" in str(error)
        else:
            read += 1
    assert read + refused == number
    return refused


@pytest.mark.parametrize("kind", KINDS)
def test_a_mutated_file_is_read_or_refused(torch, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    assert load_mutated(torch, tmp_path, kind, 150) > 50
    assert os.listdir(tmp_path) == ["weights.pt"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutated_files_are_read_or_refused(torch, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    load_mutated(torch, tmp_path, kind, 20_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # KiB
    assert os.listdir(tmp_path) == ["weights.pt"]


def refused_in_little_memory(path, match):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=match):
        load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB


@pytest.mark.parametrize("shape", [(10**9,), (25, 10**9), (10**6, 10**6)])
def test_an_array_that_repeats_one_number_is_not_unfolded(torch, tmp_path, shape):
    tensor = torch.zeros(1).expand(shape)
    torch.save({"a": tensor}, tmp_path / "weights.pt")
    refused_in_little_memory(tmp_path / "weights.pt", "claims more numbers than it holds")


@pytest.mark.parametrize("is_zip", [True, False])
def test_a_storage_that_claims_100_gb_is_refused(torch, tmp_path, is_zip):
    """The pickle names the number of elements, which is 7 here and 25 billion in the file."""
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(7)}, buffer, _use_new_zipfile_serialization=is_zip)
    small, large = b"K\x07", b"\x8a\x08" + struct.pack("<q", 25 * 10**9)

    def enlarge(data):
        assert data.count(small) >= 2
        return data.replace(small, large)

    content = buffer.getvalue()
    (tmp_path / "weights.pt").write_bytes(rezip(content, enlarge) if is_zip else enlarge(content))
    refused_in_little_memory(tmp_path / "weights.pt", "is damaged")


def test_a_packed_archive_is_not_unpacked(torch, tmp_path):
    torch.save({"a": torch.zeros(3)}, tmp_path / "small.pt")
    with (
        zipfile.ZipFile(tmp_path / "small.pt") as source,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in source.infolist():
            data = source.read(entry)
            bomb.writestr(entry.filename, data * (10**7 if "/data/0" in entry.filename else 1))
    assert (tmp_path / "bomb.pt").stat().st_size < 10**6
    refused_in_little_memory(tmp_path / "bomb.pt", "is damaged")


def test_dicts_in_themselves_are_refused(torch, tmp_path):
    loop = {"a": torch.ones(2)}
    loop["self"] = loop
    nested = {"a": torch.ones(2)}
    for _ in range(100):
        nested = {"left": nested, "right": nested}
    for checkpoint in (loop, nested):
        torch.save(checkpoint, tmp_path / "weights.pt")
        with pytest.raises(InputError, match="too many nested dicts"):
            load(tmp_path / "weights.pt")


class Call:
    """Unpickled as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    "call",
    [
        Call(eval, "__import__('os').mkdir('pwned')"),
        Call(exec, "import os; os.mkdir('pwned')"),
        Call(os.system, "mkdir pwned"),
        Call(getattr, "os", "upper"),
        Call(__import__, "os"),
    ],
)
def test_no_code_in_a_pickle_runs(torch, tmp_path, monkeypatch, call, protocol):
    monkeypatch.chdir(tmp_path)
    checkpoint = {"weight": np.ones(2), "option": call}
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(checkpoint, protocol))
    torch.save(checkpoint, tmp_path / "zip.pt", pickle_protocol=max(2, protocol))
    for name in ("plain.pt", "zip.pt"):
        with pytest.raises(InputError, match=re.escape(name)):
            load(tmp_path / name)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_names_with_paths_lead_nowhere(torch, tmp_path, monkeypatch, name):
    room = tmp_path / "room"
    room.mkdir()
    monkeypatch.chdir(room)
    safetensors.numpy.save_file({name: np.ones((2, 2), "f4")}, room / "weights.safetensors")
    assert list(load(room / "weights.safetensors").arrays) == [name]
    torch.save({name: torch.ones(2, 2)}, room / "weights.pt")
    with zipfile.ZipFile(room / "weights.pt", "a") as archive:
        archive.writestr(f"../{name}", b"x")
    with pytest.raises(InputError):
        load(room / "weights.pt")
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "room",
        "weights.pt",
        "weights.safetensors",
    ]


def test_a_header_of_any_json_is_read_or_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    values = [None, -1, 2**63, 1e308, "F32", "x" * 1000, [], {}, [0, 2**62], [4, 0], [[0]]]
    rng = np.random.default_rng(0)
    for _ in range(300):
        entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
        key = list(entry)[rng.integers(3)]
        value = values[rng.integers(len(values))]
        if value == entry[key]:
            continue
        entry[key] = value
        header = json.dumps({"a": entry}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)
        with pytest.raises(InputError, match=r"weights\.safetensors"):
            load(path)
