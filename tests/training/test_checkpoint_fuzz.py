"""Checkpoints of any content, even with manifests to match: restored, or refused by name."""

import json
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.faults.alterations import WAYS, alter, altered
from jaxgen.errors import InputError
from jaxgen.training import checkpoint

STEP = 7


def state():
    return {"kernel": jax.random.normal(jax.random.key(0), (20, 30)), "step": jnp.int32(STEP)}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz")
    with checkpoint.open_checkpointer() as checkpointer:
        for step in (3, STEP):
            checkpoint.save(checkpointer, path, step, state())
            checkpoint.commit(checkpointer, path, step, 1.0, "min", {"totals": {}})
    return path


@pytest.fixture
def path(original, tmp_path):
    shutil.copytree(original, tmp_path / "copy")
    return tmp_path / "copy"


def sign(path):
    """Write a manifest that matches the files as they are."""
    manifest = json.loads((path / f"{STEP}.json").read_text())
    del manifest["digest"]
    manifest["files"] = checkpoint._digests(path / str(STEP))
    text = json.dumps(manifest | {"digest": checkpoint._digest_of(manifest)})
    (path / f"{STEP}.json").write_text(text)
    assert checkpoint.damage(path, STEP) == ""


def files(path):
    found = (path / str(STEP)).rglob("*")
    return sorted(file for file in found if file.is_file() and file.stat().st_size)


@pytest.mark.parametrize("number", [60, pytest.param(3000, marks=pytest.mark.slow)])
def test_altered_files_with_a_matching_manifest_are_restored_or_refused(path, number):
    rng, num_refused = np.random.default_rng(0), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(number):
        file = files(path)[rng.integers(len(files(path)))]
        with altered(file, WAYS[rng.integers(len(WAYS))], rng):
            sign(path)
            try:
                found = checkpoint.restore(path, STEP, state())
            except InputError as error:
                num_refused += str(path) in str(error)
            else:
                assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, state())
    assert num_refused > number / 4  # the other alterations are in files that nothing reads
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # KiB


@pytest.mark.parametrize("number", [200, pytest.param(20_000, marks=pytest.mark.slow)])
def test_an_altered_manifest_is_never_used(path, number):
    rng, manifest = np.random.default_rng(0), path / f"{STEP}.json"
    intact = json.loads(manifest.read_text())
    for _ in range(number):
        with altered(manifest, WAYS[rng.integers(len(WAYS))], rng):
            step, damaged = checkpoint.find_step(path, "latest", "min")
            if step == STEP:  # a space has become a line break
                assert json.loads(manifest.read_text()) == intact
            elif manifest.exists():
                assert damaged[0].step == STEP


def test_an_array_that_claims_100_gb_is_refused_in_little_memory(path):
    """The metadata tell the shape; they do not fit the model, and nothing is allocated."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    changed = 0
    for file in files(path):
        content = file.read_bytes()
        larger = content.replace(b"20", b"99999999", 1) if content.startswith(b"{") else content
        changed += larger != content
        file.write_bytes(larger)
    assert changed
    sign(path)
    like = state() | {"kernel": jax.ShapeDtypeStruct((10, 10), jnp.float32)}
    with pytest.raises(InputError, match=r"does not fit this model|cannot be restored"):
        checkpoint.restore(path, STEP, like)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17  # KiB


def test_names_that_lead_outside_are_not_followed(path, tmp_path):
    manifest = json.loads((path / f"{STEP}.json").read_text())
    del manifest["digest"]
    (tmp_path / "outside").write_text("content")
    for name in ("../../outside", str(tmp_path / "outside")):
        manifest["files"] = {**manifest["files"], name: "0" * 64}
        text = json.dumps(manifest | {"digest": checkpoint._digest_of(manifest)})
        (path / f"{STEP}.json").write_text(text)
        assert "is missing" in checkpoint.damage(path, STEP)
    alter(path / f"{STEP}.json", "emptied", np.random.default_rng(0))
    assert (tmp_path / "outside").read_text() == "content"
