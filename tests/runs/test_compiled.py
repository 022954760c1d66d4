"""JAX's cache of compiled programs: a damaged program is deleted before JAX can load it."""

import json
import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from experiments.faults.alterations import WAYS, alter
from jaxgen.runs import caches
from jaxgen.runs.caches import MIN_COMPILE_TIME
from jaxgen.runs.compiled import drop_damaged

PROGRAM = """
import sys, warnings
warnings.simplefilter("error")
import jax, jax.numpy as jnp
from jaxgen.runs import caches
caches.keep_compiled_programs()
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
print(jax.jit(lambda x: jnp.sin(x) @ x.T)(jnp.arange(6.0).reshape(2, 3)).tolist())
print(sum(name.endswith("cache_hits") for name in hits))
"""


def run(cache, **variables):
    """The result of a compiled program, and how many programs came from the cache."""
    env = {name: value for name, value in os.environ.items() if name != MIN_COMPILE_TIME}
    env |= {"XDG_CACHE_HOME": str(cache), **variables}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result, hits = done.stdout.splitlines()
    return json.loads(result), int(hits)


def drop(folder):
    drop_damaged.cache_clear()
    drop_damaged(folder)


@pytest.fixture
def folder(tmp_path):
    """A cache of three programs, as JAX compresses them."""
    for name in "abc":
        (tmp_path / f"jit_{name}-123-cache").write_bytes(zlib.compress(name.encode() * 1000))
    return tmp_path


def programs(folder):
    return sorted(path.name[4] for path in folder.glob("*-cache"))


def test_whole_programs_are_kept_and_get_a_digest(folder):
    drop(folder)
    drop(folder)
    assert programs(folder) == ["a", "b", "c"]
    assert len(list(folder.glob("*.sha256"))) == 3


@pytest.mark.parametrize("content", [b"", b"\x78", zlib.compress(b"b" * 1000)[:-1], b"no program"])
def test_a_program_that_was_never_whole_is_deleted(folder, content):
    (folder / "jit_b-123-cache").write_bytes(content)
    drop(folder)
    assert programs(folder) == ["a", "c"]


def test_a_program_that_differs_from_its_digest_is_deleted(folder):
    """Even one that would unpack without an error, as with zstd, which has no checksum."""
    drop(folder)
    (folder / "jit_b-123-cache").write_bytes(zlib.compress(b"x" * 1000))
    drop(folder)
    assert programs(folder) == ["a", "c"]
    assert len(list(folder.glob("*.sha256"))) == 2


def test_a_damaged_digest_costs_its_program(folder):
    drop(folder)
    (folder / "jit_c-123-cache.sha256").write_bytes(b"\xff")
    drop(folder)
    assert programs(folder) == ["a", "b"]


@pytest.mark.slow
def test_zstd_is_told_from_zlib(folder):
    zstandard = pytest.importorskip("zstandard")
    whole = zstandard.compress(b"b" * 1000)
    (folder / "jit_b-123-cache").write_bytes(whole)
    drop(folder)
    assert programs(folder) == ["a", "b", "c"]
    (folder / "jit_b-123-cache.sha256").unlink()
    (folder / "jit_b-123-cache").write_bytes(whole[:-1])
    drop(folder)
    assert programs(folder) == ["a", "c"]


@pytest.mark.slow
def test_damaged_programs_are_compiled_again_and_compute_the_same(tmp_path):
    result, hits = run(tmp_path)
    assert hits == 0
    again, num_programs = run(tmp_path)
    assert again == result
    assert num_programs > 0
    rng = np.random.default_rng(0)
    for i, path in enumerate(sorted((tmp_path / "jaxgen" / "xla").glob("*-cache"))):
        alter(path, WAYS[i % len(WAYS)], rng)
    assert run(tmp_path) == (result, 0)
    assert run(tmp_path) == (result, num_programs)


@pytest.mark.slow
def test_two_processes_fill_one_cache(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        (one, _), (other, _) = pool.map(run, [tmp_path, tmp_path])
    assert one == other
    assert run(tmp_path)[1] > 0


def test_a_cache_that_cannot_be_written_is_skipped_with_a_word(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot be written .* compiled again"):
        caches.keep_compiled_programs()


@pytest.mark.parametrize(("variables", "are_kept"), [({}, True), ({MIN_COMPILE_TIME: "60"}, False)])
def test_all_programs_are_kept_unless_jax_s_own_variable_says_otherwise(
    tmp_path, variables, are_kept
):
    run(tmp_path, **variables)
    assert (run(tmp_path, **variables)[1] > 0) == are_kept
