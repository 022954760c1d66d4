"""Every function of jaxgen and of experiments is checked for shapes and types under test."""

import os

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook(["jaxgen", "experiments"], "beartype.beartype")

# The programs under test are tiny: compiling them takes most of the time, running them none.
jax.config.update("jax_disable_most_optimizations", True)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
# Broadcasting between arrays of different ranks hides mistakes in shapes.
# jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="session", autouse=True)
def cache_of_compiled_programs(tmp_path_factory):
    """Tests share what they compile, with their processes too, and leave the user's cache alone."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    os.environ["XDG_CACHE_HOME"] = str(base / "cache")
    jax.config.update("jax_compilation_cache_dir", str(base / "cache" / "jaxgen" / "xla"))
