"""Data sets with bytes altered, cut or added: nothing but named errors, in bounded memory."""

import gzip
import io
import random
import resource
import shutil
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from jaxgen.data import load
from jaxgen.errors import InputError

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
LABEL = np.arange(20) % 3


def written(save, *args, **arrays):
    file = io.BytesIO()
    save(file, *args, **arrays)
    return file.getvalue()


def idx(array):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def picture(kind):
    return written(lambda file: Image.fromarray(IMAGE[0]).save(file, kind))


SOUND = {
    "set.npz": written(np.savez, image=IMAGE, label=LABEL),
    "small.npz": written(np.savez_compressed, x_train=IMAGE, y_train=LABEL, x_test=IMAGE),
    "set.npy": written(np.save, IMAGE),
    "train-images-idx3-ubyte": idx(IMAGE[..., 0]),
    "train-images-idx3-ubyte.gz": gzip.compress(idx(IMAGE[..., 0])),
    **{f"folder/a.{kind}": picture(kind) for kind in ("png", "jpeg", "gif", "tiff", "webp", "bmp")},
}


def altered(content, moments):
    """Cut the content, flip bits, overwrite four bytes as a size would be, or remove some."""
    content = bytearray(content)
    start = moments.randrange(len(content))
    match moments.randrange(4):
        case 0:
            del content[start:]
        case 1:
            for _ in range(moments.randrange(1, 4)):
                content[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
        case 2:
            content[start : start + 4] = b"\xff" * 4
        case 3:
            del content[start : start + moments.randrange(1, 40)]
    return bytes(content)


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


@pytest.mark.filterwarnings("ignore")  # Pillow warns about some of the damage
@pytest.mark.parametrize("times", [8, pytest.param(400, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", SOUND)
def test_an_altered_set_is_read_or_named(tmp_path, name, times):
    before, messages = peak_megabytes(), []
    moments = random.Random(name)
    for number in range(times):
        folder = tmp_path / str(number)
        path = folder / name
        path.parent.mkdir(parents=True)
        if path.parent != folder:
            for i in (1, 2, 3):
                path.with_stem(f"sound_{i}").write_bytes(SOUND[name])
        path.write_bytes(altered(SOUND[name], moments))
        try:
            batch = load(path if path.parent == folder else path.parent, "train", image_size=8)
            assert batch.image.shape[1:3] == (8, 8)
        except InputError as error:
            messages.append(str(error))
        shutil.rmtree(folder)
    assert messages
    assert all(str(tmp_path) in message for message in messages)
    assert peak_megabytes() - before < 500


LARGE = {"descr": "|u1", "fortran_order": False, "shape": (10**7, 100, 100, 1)}  # 100 GB


def large_npy():
    return written(np.lib.format.write_array_header_1_0, LARGE) + b"\0" * 1000


def large_npz():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("image.npy", large_npy())
    return file.getvalue()


def long_gzip():
    """A gigabyte of zeros behind a header of ten images."""
    file = io.BytesIO()
    with gzip.open(file, "wb", compresslevel=1) as stream:
        stream.write(idx(IMAGE[:10, ..., 0]))
        for _ in range(100):
            stream.write(b"\0" * 10**7)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("set.npy", large_npy),
        ("set.npz", large_npz),
        ("train-images-idx3-ubyte", lambda: idx(IMAGE[:1, ..., 0])[:4] + b"\xff" * 12 + b"\0" * 99),
        ("train-images-idx3-ubyte.gz", long_gzip),
    ],
)
def test_a_size_that_lies_is_refused_in_bounded_memory(tmp_path, name, content):
    (tmp_path / name).write_bytes(content())
    before = peak_megabytes()
    with pytest.raises(InputError, match=r"Replace it|replace it"):
        load(tmp_path / name, "train")
    assert peak_megabytes() - before < 200


def test_arrays_of_objects_run_no_code(tmp_path):
    """NumPy would unpickle them."""

    class Attack:
        def __reduce__(self):
            return (tmp_path / "proof").touch, ()

    np.savez(tmp_path / "set.npz", image=np.array([Attack()] * 4, object))
    with pytest.raises(InputError, match=r"set\.npz"):
        load(tmp_path / "set.npz", "train")
    assert not (tmp_path / "proof").exists()
