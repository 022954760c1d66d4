"""Arrays as Orbax has saved them: where they lie, and what is missing."""

import chex
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tensorstore as ts

from jaxgen.training import saved_arrays

STATE = {"kernel": jnp.arange(12.0).reshape(3, 4), "step": jnp.int32(7), "zeros": jnp.zeros(5)}


@pytest.fixture
def path(tmp_path):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", STATE)
    return tmp_path / "state"


def test_arrays_are_found_below_any_name_of_their_directory(path):
    (path.parent / "link").symlink_to(path)
    for same in (path, path / ".." / "state", path.parent / "link"):
        arrays = saved_arrays.open_all(same)
        assert saved_arrays.match(arrays, STATE)
        chex.assert_trees_all_equal(saved_arrays.read(arrays, STATE), STATE)


@pytest.mark.parametrize("name", STATE)
def test_missing_values_are_not_read_as_zeros(path, name):
    files = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{path}/"}}
    store = ts.KvStore.open(files).result()
    for key in store.list().result():
        if key.startswith(f"{name}/".encode()) and not key.endswith(b".zarray"):
            store.delete_range(ts.KvStore.KeyRange(key, key + b"\0")).result()
    arrays = saved_arrays.open_all(path)
    with pytest.raises(ValueError, match="missing"):
        saved_arrays.read(arrays, STATE)
    others = {key: leaf for key, leaf in STATE.items() if key != name}
    for key, value in saved_arrays.read(arrays, others).items():
        np.testing.assert_array_equal(value, STATE[key])
