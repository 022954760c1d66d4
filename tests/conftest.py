"""Every jaxgen function is checked for shapes and types while the tests run."""

import os

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("jaxgen", "beartype.beartype")

# The programs under test are tiny: compiling them takes most of the time, running them none.
jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="session", autouse=True)
def cache_of_compiled_programs(tmp_path_factory):
    """Processes under test share what they compile, and leave the user's cache alone."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
