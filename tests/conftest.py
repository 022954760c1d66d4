"""Every function of jaxgen and of experiments is checked for shapes and types under test."""

import os
from pathlib import Path

# Processes under test find `experiments`, which is not installed, wherever they start.
os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent)

# The programs under test are tiny: compiling them takes most of the time, running them none. The
# processes that tests start inherit these settings.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook(["jaxgen", "experiments"], "beartype.beartype")

if jax.__version__.startswith("0.10."):  # XLA aborts where it does not know a flag
    os.environ["XLA_FLAGS"] = (
        "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    )
# Broadcasting between arrays of different ranks hides mistakes in shapes.
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module")
def few_digits():
    """A fifth of the built-in digits, in this process: 800 to train on, 200 to test."""
    from jaxgen.data import builtin

    read = builtin.read
    with pytest.MonkeyPatch.context() as patch:
        # The first ones, since the classes take turns.
        patch.setattr(
            builtin, "read", lambda split: tuple(array[: len(array) // 5] for array in read(split))
        )
        yield


@pytest.fixture(scope="module")
def quick_classifier(few_digits):
    """A classifier that knows little, and few samples for it to classify."""
    from jaxgen.evaluation import classifier
    from jaxgen.recipes import cgan

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "NUM_STEPS", 40)
        patch.setattr(cgan, "NUM_CLASSIFIED", 1000)
        yield


@pytest.fixture(scope="session", autouse=True)
def cache_of_compiled_programs(tmp_path_factory):
    """Tests share what they compile, with their processes too, and leave the user's cache alone."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    os.environ["XDG_CACHE_HOME"] = str(base / "cache")
    jax.config.update("jax_compilation_cache_dir", str(base / "cache" / "jaxgen" / "xla"))
