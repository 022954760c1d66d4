"""Read the arrays of a state that Orbax has saved, in the format that Orbax documents.

Orbax itself would leave 6 kB of memory per array behind, since TensorStore (up to 0.1.86 at least)
never frees what is nested in the JSON of a `Spec`, for which Orbax asks.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import tensorstore as ts
from jaxtyping import PyTree

Arrays = Mapping[str, ts.TensorStore]


def open_all(path: Path) -> Arrays:
    """Open the arrays of the state at `path` by name, without reading their values.

    Values that are missing from the files are an error when they are read, not zeros.
    """
    tree = json.loads((path / "_METADATA").read_text())
    leaves = [
        [key["key"] for key in entry["key_metadata"]]
        for entry in tree["tree_metadata"].values()
        if not entry["value_metadata"]["skip_deserialize"]
    ]
    driver = {"driver": "zarr3" if tree["use_zarr3"] else "zarr", "fill_missing_data_reads": False}
    files = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{path.resolve()}/"}}
    opened = [ts.open(driver | {"kvstore": files | {"path": ".".join(k) + "/"}}) for k in leaves]
    return {"/".join(k): array.result() for k, array in zip(leaves, opened, strict=True)}


def match(arrays: Arrays, like: PyTree) -> bool:
    """Check whether the arrays have the names, shapes and types of the leaves of `like`."""
    leaves = {_name(key): leaf for key, leaf in jax.tree.leaves_with_path(like)}
    return _kinds(arrays) == _kinds(leaves)


def read(arrays: Arrays, like: PyTree) -> PyTree:
    """Read this process's part of each array, with the structure and sharding of `like`.

    A leaf of `like` without a sharding is read to one device.
    """

    def read_leaf(key: tuple[Any, ...], leaf: jax.Array | jax.ShapeDtypeStruct) -> jax.Array:
        array = arrays[_name(key)]
        sharding = leaf.sharding or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        return jax.make_array_from_callback(
            leaf.shape, sharding, lambda index: array[index].read().result(), leaf.dtype
        )

    return jax.tree.map_with_path(read_leaf, like)


def _name(key: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(key, simple=True, separator="/")


def _kinds(leaves: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{leaf.shape} {leaf.dtype.name}" for name, leaf in leaves.items()}
