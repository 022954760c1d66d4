"""Files of PyTorch weights: read checkpoints of any layout, and write state dicts."""

import hashlib
import io
import math
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxgen.errors import InputError
from jaxgen.interop.torch import import_torch
from jaxgen.torch_layers import StateDict

# Classes of values that checkpoints often contain besides the weights.
SKIPPED_CLASSES = (
    "argparse.Namespace",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "pathlib.PosixPath",
    "pathlib._local.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.WindowsPath",
)

CHECKSUM = "jaxgen.sha256"  # in the metadata of a safetensors file, which has none of its own
MAX_DEPTH = 20  # of the dicts in a checkpoint
MAX_ITEMS = 1_000_000


class Weights(NamedTuple):
    """The state dict in a file."""

    arrays: StateDict
    """float32 arrays by name; those of several networks as `network.name`."""
    notice: str
    """A message for the user about weights that were cast; empty if none were."""


def load(path: Path) -> Weights:
    """Read the weights of a PyTorch or safetensors file, whatever its suffix.

    The state dict may be under any key of a checkpoint; optimizer states, counters and everything
    that is not a tensor are skipped. Weights of another precision are cast to float32. Raises
    InputError for a file that contains no weights, is damaged or could execute code when loaded,
    and for weights that are not finite.
    """
    checkpoint = _read(path)
    _check_nesting(path, checkpoint)
    tensors = _tensors(checkpoint)
    if not tensors:
        raise InputError(f"{path} contains no state dict: save `model.state_dict()` and try again.")
    if sum(math.prod(value.shape) for value in tensors.values()) > path.stat().st_size:
        raise InputError(f"{path} claims more numbers than it holds: save the weights again.")
    types = sorted({_type_name(value) for value in tensors.values()} - {"float32"})
    return Weights(
        arrays={name: _to_float32(path, name, value) for name, value in tensors.items()},
        notice=f"The weights are cast from {' and '.join(types)} to float32." if types else "",
    )


def save(path: Path, state_dict: Mapping[str, np.ndarray]) -> None:
    """Write a state dict that PyTorch can load, in the format of the suffix.

    The file is written completely or not at all. Raises InputError for an unknown suffix or a
    missing directory, and the OSError of a full disk.
    """
    if not path.absolute().parent.is_dir():
        raise InputError(f"There is no directory {path.parent}: create it, then try again.")
    arrays = {name: np.asarray(array, order="C") for name, array in state_dict.items()}
    match path.suffix:
        case ".safetensors":
            data = _import_safetensors().numpy.save(arrays, {CHECKSUM: _checksum(arrays)})
        case ".pt" | ".pth" | ".ckpt":
            torch = import_torch()
            tensors = {name: torch.tensor(array) for name, array in arrays.items()}
            buffer = io.BytesIO()
            torch.save({"state_dict": tensors} if path.suffix == ".ckpt" else tensors, buffer)
            data = buffer.getvalue()
        case _:
            raise InputError(
                f"{path} has no known suffix: choose .pt, .pth, .ckpt or .safetensors."
            )
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> Any:
    """Read the file in the format that its first bytes indicate."""
    try:
        if not path.is_file():
            raise InputError(f"{path} is not a file: give one that contains PyTorch weights.")
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from None
    if start[8:] == b"{":  # after the length of the header, which is JSON
        return _read_safetensors(path)
    if start.startswith((b"PK", b"\x80")):  # a zip archive, or the pickle of older PyTorch
        return _read_pickled(path)
    raise InputError(f"{path} is damaged or not a file of weights: save the weights again.")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    safetensors = _import_safetensors()
    try:
        arrays = safetensors.numpy.load_file(path)
        with safetensors.safe_open(path, "np") as file:
            checksum = (file.metadata() or {}).get(CHECKSUM)  # other programs write none
        if checksum not in (None, _checksum(arrays)):
            raise ValueError("its checksum does not match")
        return arrays
    except Exception as error:  # of any class, since the file may have any content
        raise InputError(
            f"{path} is damaged or not supported ({error}): save the weights again."
        ) from None


def _checksum(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def _read_pickled(path: Path) -> Any:
    torch = import_torch()
    skipped = [(_Skipped, name) for name in SKIPPED_CLASSES]
    try:
        if zipfile.is_zipfile(path):
            _check_archive(path)
        # Given a path, PyTorch would trust its suffix. It warns about some files before it fails.
        with (
            path.open("rb") as file,
            torch.serialization.safe_globals(skipped),
            warnings.catch_warnings(action="ignore"),
        ):
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of any class, since the file may have any content
        if foreign := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise InputError(
                f"{path} contains {foreign[1]}, and files that could execute code when loaded are "
                "rejected: save only `model.state_dict()`."
            ) from None
        raise InputError(
            f"{path} is damaged or not a file of weights: save the weights again."
        ) from None


def _check_archive(path: Path) -> None:
    """Raise BadZipFile if the bytes have changed; PyTorch does not verify its own checksums.

    PyTorch stores its entries as they are. Others could claim any size, and are not unpacked.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        is_packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if is_packed or sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise zipfile.BadZipFile
        has_checksums = any(entry.CRC for entry in entries)  # PyTorch can write none
        if has_checksums and archive.testzip() is not None:
            raise zipfile.BadZipFile


class _Skipped:
    """A stand-in for a value of a skipped class, which ignores its arguments and its state."""

    def __new__(cls, *_: Any) -> "_Skipped":
        return object.__new__(cls)

    def __setstate__(self, _: Any) -> None:
        pass


def _tensors(checkpoint: Any) -> dict[str, Any]:
    """Collect the tensors of all state dicts in a checkpoint, as `key.name` if there are several.

    A state dict maps names to floating-point tensors, not all of them scalars. Tensors outside of a
    state dict (a loss, a random state) are not weights, nor are those of an optimizer.
    """
    if not isinstance(checkpoint, Mapping) or "param_groups" in checkpoint:
        return {}
    items = [(key, value) for key, value in checkpoint.items() if isinstance(key, str)]
    inner = {key: tensors for key, value in items if (tensors := _tensors(value))}
    if len(inner) == 1:
        return next(iter(inner.values()))
    if inner:
        return {f"{key}.{name}": v for key, tensors in inner.items() for name, v in tensors.items()}
    tensors = {name: value for name, value in items if "float" in _type_name(value)}
    return tensors if any(value.ndim for value in tensors.values()) else {}


def _check_nesting(path: Path, checkpoint: Any) -> None:
    """Raise InputError for dicts that are nested in themselves, or too often in others."""
    level, num_items = [checkpoint], 0
    for _ in range(MAX_DEPTH):
        level = [item for item in level if isinstance(item, Mapping)]
        num_items += sum(map(len, level))
        if not level or num_items > MAX_ITEMS:
            break
        level = [item for mapping in level for item in mapping.values()]
    if level:
        raise InputError(f"{path} has too many nested dicts: save only `model.state_dict()`.")


def _type_name(value: Any) -> str:
    """Return the name of the dtype of an array or tensor; empty if `value` is neither."""
    return str(getattr(value, "dtype", "")).removeprefix("torch.")


def _to_float32(path: Path, name: str, value: Any) -> np.ndarray:
    try:
        array = value.float().numpy(force=True) if hasattr(value, "float") else value
    except (RuntimeError, TypeError):
        raise InputError(f"{path}: {name} is not a dense tensor: save it as one.") from None
    with np.errstate(over="ignore"):
        array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise InputError(
            f"{path}: {name} has values that are NaN or infinite in float32: choose another file."
        )
    return array


def _import_safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError:
        raise InputError("This needs safetensors: run pip install 'jaxgen[torch]'.") from None
    return safetensors
